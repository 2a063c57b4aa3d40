"""The rows of the table of calls, for those who make it and those who read it.

They stand apart from the calls because a command line is read before there is a gateway to import.
"""

ENTRIES = 1_000
EMPTY = "empty loop"

DIRECT = "the engine's get"
HANDLE = "gateway.cache_get"
PYTHON_DIRECT = "a Python function"
PYTHON_HANDLE = "gateway.cache_contains, registered as that function"
DOOR_TARGET = "execute_operation, bound Python target"
NAIVE_TARGET = "naive design, bound Python target"
DOOR_CACHE = "execute_operation, cache"
NAIVE_CACHE = "naive design, cache in Python"
NAIVE_COMPILED = "naive design, compiled cache"
