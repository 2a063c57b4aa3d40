"""Try an extension without any test tool: a script for the Python of another architecture.

    python3.11 -I wheels_smoke.py FOLDER [SEED]

FOLDER holds the unpacked wheels. Nothing else is needed. The last line says what ran.
"""

from __future__ import annotations

import platform
import random
import sys
from collections import OrderedDict
from typing import Any

OPERATIONS = 4000
KEYS = 40


class Model:
    """The simplest cache that behaves like Store with the policy "lru"."""

    def __init__(self, entries: int) -> None:
        self.rows: OrderedDict[object, tuple[object, float]] = OrderedDict()
        self.entries = entries
        self.now = 0.0

    def get(self, key: object) -> object:
        """Return the value, or None."""
        value, expires = self.rows.get(key, (None, 0.0))
        if self.now >= expires:
            self.rows.pop(key, None)
            return None
        self.rows.move_to_end(key)
        return value

    def set(self, key: object, value: object, ttl: float | None) -> None:
        """Keep a value, at the cost of the least recently used one."""
        self.rows.pop(key, None)
        self.rows[key] = value, self.now + (float("inf") if ttl is None else ttl)
        if len(self.rows) > self.entries:
            self.rows.popitem(last=False)


def equal(found: object, expected: object, what: str) -> None:
    """Stop when two things differ; an assertion would not under -O."""
    if found != expected:
        sys.exit(f"{what}: {found!r}, where {expected!r} was expected")


def try_lru(store_class: Any, seed: int) -> int:
    """Compare random operations with the model and return how many there were."""
    chance = random.Random(seed)
    model = Model(KEYS // 2)
    store = store_class(KEYS // 2, clock=lambda: model.now)
    for number in range(OPERATIONS):
        key = chance.choice([number % KEYS, f"key {chance.randrange(KEYS)}", (chance.random(),)])
        action = chance.choice(["get", "get", "set", "set", "delete", "wait"])
        what = f"seed {seed}, operation {number}, {action} of {key!r}"
        if action == "get":
            equal(store.get(key), model.get(key), what)
        elif action == "set":
            ttl = chance.choice([None, 1.0, 5.0])
            store.set(key, number, ttl)
            model.set(key, number, ttl)
        elif action == "delete":
            is_there = model.get(key) is not None
            model.rows.pop(key, None)
            equal(store.delete(key), is_there, what)
        else:
            model.now += chance.choice([0.5, 2.0])
    living = {key: row[0] for key, row in model.rows.items() if model.now < row[1]}
    equal(dict(store.items()), living, f"seed {seed}, what is left")
    return OPERATIONS


def try_s3fifo(store_class: Any, seed: int) -> int:
    """Hold what this policy promises: bounds, and the last value or none."""
    chance = random.Random(seed)
    store = store_class(KEYS // 2, policy="s3fifo", max_bytes=KEYS * 100)
    last: dict[object, object] = {}
    for number in range(OPERATIONS):
        key = chance.randrange(KEYS * 3)
        found = store.get(key)
        if found is not None:
            equal(found, last.get(key), f"seed {seed}, operation {number}")
        last[key] = "x" * chance.randrange(200)
        store.set(key, last[key])
    stats = store.stats()
    equal(stats["entries"] <= KEYS // 2, True, "entries within the bound")
    equal(stats["bytes"] <= KEYS * 100, True, "bytes within the bound")
    equal(stats["evictions"] > 0, True, "something was evicted")
    return OPERATIONS


def try_gateway() -> int:
    """Call public functions the way a handler does: by name, and through the string door."""
    import gateway

    gateway.cache_set("greeting", "hello")
    for number in range(OPERATIONS // 4):
        gateway.cache_set(f"key {number}", number, ttl=60)
        equal(gateway.cache_get(f"key {number}"), number, "cache_get")
        equal(gateway.execute_operation("cache", "get", key=f"key {number}"), number, "door")
        equal(gateway.cache_get("not there", default="?"), "?", "a miss")
    try:
        gateway.cache_get(nothing="like this")  # type: ignore[call-arg]  # that is the point
    except TypeError as error:
        equal("cache_get" in str(error), True, f"the function's name in {error}")
    else:
        sys.exit("cache_get took an argument that it does not have")
    return OPERATIONS


def main(arguments: list[str]) -> int:
    """Run everything; what goes wrong ends the process with a line about it."""
    sys.path.insert(0, arguments[0])
    seed = int(arguments[1]) if arguments[1:] else random.SystemRandom().randrange(1 << 32)
    import fastpath_ext

    if not fastpath_ext.COMPILED:
        sys.exit(f"the extension does not load: {fastpath_ext.reason}")
    extension: Any = fastpath_ext
    done = try_lru(extension.Store, seed) + try_s3fifo(extension.Store, seed) + try_gateway()
    import gateway

    if hasattr(extension, "Handle"):
        equal(isinstance(gateway.cache_get, extension.Handle), True, "cache_get is a handle")
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{done} operations on Python {version}, {platform.machine()}, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
