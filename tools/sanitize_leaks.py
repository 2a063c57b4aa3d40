"""Repeat each operation of the compiled code many times and see whether anything stays behind.

What is counted: the blocks of Python's allocator, the objects that the collector knows, and the
bytes that the C library has handed out, where it can tell. Run as
`python -m tools.sanitize_leaks [--rounds N] [--planted] [SCENARIO...]`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import fastpath_ext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 300
SKIPPED = 77
# A leak grows with every repetition. What caches keep, and the C library's memory when it is
# scattered, grows more and more slowly: it may take a while until a repetition adds nothing.
REPETITIONS = 40


class FaultError(Exception):
    """Raised by hostile keys, values and callbacks."""


class Key:
    """A key compared by code of its own, which fails when it is told to."""

    fails = False

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        if Key.fails:
            raise FaultError
        return isinstance(other, Key) and other.number == self.number


def store(policy: str) -> Callable[[], object]:
    """Use every method of a store that lives on, over many entries that come and go."""
    now = [0.0]
    cache = fastpath_ext.Store(
        20,
        policy=policy,
        max_bytes=100,
        clock=lambda: now[0],
        on_evict=lambda key, value: (key, value),
    )
    keys = [*range(30), *(f"key {number}" for number in range(30)), *map(Key, range(5))]

    def work() -> None:
        now[0] += 1
        for key in keys:
            cache.set(key, [key], 3, size=4)
            cache.get(key)
            cache.get("absent", key)
            cache.touch(key, 5)
            cache[key] = str(key)
        cache.get_many(keys)
        cache.set_many(dict.fromkeys(keys, 1), 2)
        cache.items()
        list(cache)
        cache.stats()
        cache.set("too large", 1, size=101)
        cache.resize(5, max_bytes=50)
        cache.resize(20, max_bytes=100)
        for key in keys[::3]:
            cache.pop(key)
            cache.delete(key)
            assert key not in cache
        now[0] += 9
        cache.get(keys[-2])
        cache.clear()

    return work


def store_errors(policy: str) -> Callable[[], object]:
    """Let everything fail that can: arguments, keys and callbacks."""

    def fail(*_: object) -> Any:
        raise FaultError

    make = fastpath_ext.Store
    cache = make(20, policy=policy, max_bytes=100, sizeof=fail)
    evicting = make(2, policy=policy, on_evict=fail)
    timeless = make(policy=policy, clock=fail)
    key = Key(1)
    cache.set(key, "value", size=5)
    calls: list[Callable[[], object]] = [
        lambda: make(0),
        lambda: make(policy="none"),
        lambda: make(unknown=1),  # type: ignore[call-arg]
        lambda: make(clock=5),  # type: ignore[arg-type]
        lambda: cache.set("key", "value"),
        lambda: cache.set("key", "value", "ttl"),  # type: ignore[arg-type]
        lambda: cache.set("key", "value", -1, size=1),
        lambda: cache.set("key", "value", size=-1),
        lambda: cache.set_many({"a": 1, "b": 2}),
        lambda: cache.get([]),  # type: ignore[arg-type]
        lambda: cache["absent"],
        lambda: cache.__delitem__("absent"),
        lambda: cache.resize(0),
        lambda: evicting.set_many({number: [] for number in range(5)}),
        lambda: timeless.set("key", "value", 5),
        cache.__reduce__,
    ]
    Key.fails = True
    calls += [
        lambda: cache.get(Key(1)),
        lambda: cache.set(Key(1), [], size=5),
        lambda: cache.get_many([1, Key(1)]),
        lambda: cache.pop(Key(1)),
        lambda: cache.touch(Key(1)),
    ]

    def work() -> None:
        Key.fails = True
        try:
            for call in calls:
                with contextlib.suppress(FaultError, TypeError, ValueError, KeyError):
                    call()
        finally:
            Key.fails = False

    return work


def store_lifetimes(policy: str) -> Callable[[], object]:
    """Make stores, fill them so that they grow, and drop them, some of them in cycles."""

    def work() -> None:
        cache = fastpath_ext.Store(500, policy=policy, max_bytes=400, sizeof=lambda _: 1)
        for number in range(600):
            cache[number] = str(number)
        cache.__init__(3, policy=policy)  # type: ignore[misc]
        cache["last"] = 1
        # Small, so that what waits for the collector does not scatter the C library's memory.
        circle = fastpath_ext.Store(3, policy=policy)
        circle["circle"] = [circle]
        circle[Key(2)] = circle

    return work


class Owner:
    """Gives handles their targets, or fails to."""

    fails = False

    def __init__(self) -> None:
        self.fast_path = self

    def target_of(self, _: object) -> Callable[..., object]:
        """Return what is called instead of a function."""
        if self.fails:
            raise FaultError
        return refuse

    def hollow(self, _: object) -> Callable[..., object]:
        """Return what explains a refusal."""
        if self.fails:
            raise FaultError
        return empty


def public(key: object, default: object = None) -> object:
    """Stand in for a public function."""
    return key, default


def empty(key: object, default: object = None) -> None:
    """Take what public takes."""


def refuse(key: object, default: object = None) -> object:
    """Fail in each way that a target can."""
    if key == 1:
        raise TypeError(key)
    if key == 2:  # noqa: PLR2004
        raise FaultError
    return [key, default]


def handles() -> Callable[[], object]:
    """Call a handle and a door in every state, with arguments that fit and some that do not."""
    owner = Owner()
    handle = fastpath_ext.Handle(public, owner)
    routes = {"a": {"x": handle, "y": fastpath_ext.Handle(public, owner)}}
    door = fastpath_ext.Handle(public, owner, routes)
    names = [("a", "x"), ("a", str(b"y", "ascii")), ("a", "z"), ("b", "x"), ([], 1), ("a",)]

    def call_all() -> None:
        for args in ((0,), (1,), (2,), (), (1, 2, 3)):
            with contextlib.suppress(FaultError, TypeError):
                handle(*args, default=[])
        for pair in names:
            for key in range(3):
                with contextlib.suppress(FaultError, TypeError):
                    door(*pair, key=key)

    def work() -> None:
        for fails in (True, False):
            owner.fails = fails
            for on in (False, True):
                handle.turn(on)
                door.turn(on)
                handle.bind(None)
                door.bind(None)
                call_all()
                call_all()
                handle.bind(lambda *args, **kwargs: (args, kwargs))
                call_all()
        circle = fastpath_ext.Handle(public, owner, {})
        circle.bind([circle].append)
        circle.note = circle
        del circle.note

    return work


# Name -> a function that returns what is repeated; it must leave behind what it found.
SCENARIOS: dict[str, Callable[[], Callable[[], object]]] = {
    "store (lru)": lambda: store("lru"),
    "store (s3fifo)": lambda: store("s3fifo"),
    "store errors (lru)": lambda: store_errors("lru"),
    "store errors (s3fifo)": lambda: store_errors("s3fifo"),
    "store lifetimes (lru)": lambda: store_lifetimes("lru"),
    "store lifetimes (s3fifo)": lambda: store_lifetimes("s3fifo"),
    "handles": handles,
}


def planted_blocks() -> Callable[[], object]:
    """Keep one number more each time."""
    kept: list[int] = []
    return lambda: kept.append(1000 + len(kept))


def planted_objects() -> Callable[[], object]:
    """Keep one list more each time."""
    kept: list[object] = []
    return lambda: kept.append([])


def planted_bytes() -> Callable[[], object]:
    """Lose 40 bytes of the C library each time."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    return lambda: malloc(40)


PLANTED = {
    "planted blocks": planted_blocks,
    "planted objects": planted_objects,
    "planted bytes": planted_bytes,
}


class Usage(NamedTuple):
    """What a process holds; a difference of two is what stayed behind between them."""

    blocks: int
    objects: int
    bytes: int


# How much of each may stay behind per round: less than one, or than the least that malloc gives.
TOLERATED = (0.1, 0.1, 8)


class _Mallinfo(ctypes.Structure):
    """The C library's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def byte_counter() -> Callable[[], int] | None:
    """Return a function giving the bytes that malloc has handed out, or None."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):  # a glibc before 2.33, or another C library
        return None
    mallinfo.restype = _Mallinfo

    def count() -> int:
        info = mallinfo()
        return int(info.uordblks + info.hblkhd)

    return count


def usage(count_bytes: Callable[[], int] | None) -> Usage:
    """Return what this process holds now."""
    gc.collect()
    return Usage(
        sys.getallocatedblocks(), len(gc.get_objects()), count_bytes() if count_bytes else 0
    )


def growth(work: Callable[[], object], rounds: int) -> Usage:
    """Return by how much the least growing of several repetitions of *rounds* grew.

    It ends with the first repetitions that leave nothing behind.
    """
    count_bytes = byte_counter()
    least = Usage(*[sys.maxsize] * len(Usage._fields))
    before = usage(count_bytes)
    for _ in range(REPETITIONS):
        for _ in range(rounds):
            work()
        after = usage(count_bytes)
        least = Usage(*(min(c, b - a) for a, b, c in zip(before, after, least, strict=True)))
        if not any(too_much(least, rounds)):
            break
        before = after
    return least


def too_much(grown: Usage, rounds: int) -> list[bool]:
    """Tell of each kind whether it grew with the number of rounds."""
    return [number > some * rounds for number, some in zip(grown, TOLERATED, strict=True)]


def leaks(scenarios: dict[str, Callable[[], Callable[[], object]]], rounds: int) -> Iterator[str]:
    """Yield a sentence for each scenario and each kind of thing that stays behind."""
    for name, scenario in scenarios.items():
        grown = growth(scenario(), rounds)
        rows = zip(Usage._fields, grown, too_much(grown, rounds), strict=True)
        for kind, number, leaks_it in rows:
            if leaks_it:
                yield f"{name}: {number / rounds:.1f} {kind} stay behind each time"


def nothing_behind(number: int) -> str:
    """Return the last line that is printed of so many scenarios without a leak."""
    return f"{number} {'scenario leaves' if number == 1 else 'scenarios leave'} nothing behind"


def main() -> int:
    """Run the scenarios and print what leaks; the exit status is 1 if anything does."""
    options = argparse.ArgumentParser(prog="python -m tools.sanitize_leaks", description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help=f"repetitions ({ROUNDS})")
    options.add_argument("--planted", action="store_true", help="scenarios that do leak")
    options.add_argument("scenario", nargs="*", help="names of scenarios (all)")
    chosen = options.parse_args()
    table = PLANTED if chosen.planted else SCENARIOS
    if chosen.rounds < 1:
        options.error(f"--rounds must be at least 1, not {chosen.rounds}")
    for name in chosen.scenario:  # argparse's own choices would refuse an empty list
        if name not in table:
            options.error(f"there is no scenario {name!r}; choose from: {', '.join(table)}")
    if not fastpath_ext.COMPILED:
        print(f"leaks skipped: {fastpath_ext.reason}")
        return SKIPPED
    if byte_counter() is None:
        print("the C library does not tell what malloc handed out, so its bytes are not counted")
    scenarios = {name: table[name] for name in chosen.scenario or table}
    found = list(leaks(scenarios, chosen.rounds))
    print("\n".join(found) or nothing_behind(len(scenarios)))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
