"""The design that the string door is compared with: a gateway as it is often written.

A member of an Enum is the key under which the interface is looked up, once; an f-string makes the
function's name at each call; hasattr asks for it and getattr fetches it; and **kwargs packs the
caller's keyword arguments and unpacks them again. Nothing is slow on purpose: there is no counting,
no logging and no lock, and the function that is found is the implementation itself.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Interface(Enum):
    """What the naive gateway offers."""

    CACHE = "cache"
    TARGET = "target"


class CacheCore:
    """The core of a cache."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def execute_get(self, key: object, default: object = None) -> object:
        """Return what is stored under *key*, or *default*."""
        return self._store.get(key, default)


class Gateway:
    """Finds a core by interface, and its operation by name."""

    def __init__(self, interfaces: dict[Interface, Any]) -> None:
        self._interfaces = interfaces

    def execute_operation(self, interface: Interface, operation: str, **kwargs: Any) -> Any:
        """Run an operation with the caller's keyword arguments."""
        try:
            core = self._interfaces[interface]
        except KeyError:
            msg = f"unknown interface: {interface}"
            raise ValueError(msg) from None
        name = f"execute_{operation}"
        if not hasattr(core, name):
            msg = f"unknown operation: {operation}"
            raise ValueError(msg)
        return getattr(core, name)(**kwargs)
