"""The caches that are compared, and what is done to each: the part that runs in child processes."""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import os
import random
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import minima, nanoseconds, settle, take_turns, timed_loop
from benchmarks.traces import OBJECTS, REQUESTS, SIZES, TRACES, zipf

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

TTL = 300
LIFE = timedelta(seconds=TTL)
PART = 5_000
SLICE = 0.5  # seconds


@dataclass(frozen=True)
class Contender:
    """A cache: what makes it, and how a key is read and written."""

    make: Callable[[int], Any]
    read: str = "c.get(k)"
    write: str = "c[k] = 1"
    skips: tuple[str, ...] = ()  # cases that mean nothing to it
    is_short_lived: bool = False  # its hits are in the second in which the entries expire

    def open(self, entries: int) -> tuple[Any, Callable[[Any], object]]:
        """Return an empty cache, and a function that stores a key."""
        cache = self.make(entries)
        body = self.write.replace("c[k] = 1", "c.__setitem__(k, 1)")
        return cache, eval(f"lambda k: {body}", {"c": cache, "life": LIFE})


def ours(module: str, **options: Any) -> Callable[[int], Any]:
    """Return what makes a store of one of the two engines."""
    return lambda entries: importlib.import_module(module).Store(entries, **options)


def peer(module: str, cache: str, *options: object) -> Callable[[int], Any]:
    """Return what makes a cache of a class of another package."""
    return lambda entries: getattr(importlib.import_module(module), cache)(entries, *options)


UNBOUNDED = ("evicting set",)
# functools calls what it wraps for each key that is new, so only its hits compare.
WRAPPED = ("miss", "overwrite", "new", "evicting set", "zipf 90/10")
CACHES = {
    "dict": Contender(lambda _: {}, skips=UNBOUNDED),
    "Store": Contender(ours("fastpath_ext")),
    "s3fifo Store": Contender(ours("fastpath_ext", policy="s3fifo")),
    "pure Store": Contender(ours("cores.store")),
    "functools": Contender(
        lambda entries: functools.lru_cache(entries)(len), "c(k)", "c(k)", skips=WRAPPED
    ),
    "lru-dict": Contender(peer("lru", "LRU")),
    "cachebox LRU": Contender(peer("cachebox", "LRUCache")),
    "cachetools LRU": Contender(peer("cachetools", "LRUCache")),
    "theine": Contender(peer("theine", "Cache"), write="c.set(k, 1)"),
    "Store, TTL": Contender(ours("fastpath_ext", default_ttl=TTL)),
    "s3fifo Store, TTL": Contender(ours("fastpath_ext", policy="s3fifo", default_ttl=TTL)),
    "pure Store, TTL": Contender(ours("cores.store", default_ttl=TTL)),
    "cachebox TTL": Contender(peer("cachebox", "TTLCache", TTL)),
    "cachetools TTL": Contender(peer("cachetools", "TTLCache", TTL)),
    "theine, TTL": Contender(peer("theine", "Cache"), write="c.set(k, 1, life)"),
}
# A compiled hit reads the whole second of the clock, unless the entry expires in that second. The
# pass has to end before it does, so this one goes with 1,000 entries only.
LAST_SECOND = "Store, TTL, last second"
CONTENDERS = {
    **CACHES,
    LAST_SECOND: Contender(
        ours("fastpath_ext"), skips=("equal key", *WRAPPED), is_short_lived=True
    ),
}
MARGIN = 0.02  # seconds, more than a coarse clock lags behind
OWN = ("Store", "s3fifo Store")
PEERS = ("functools", "lru-dict", "cachebox LRU", "cachetools LRU", "theine")
PEERS_TTL = ("cachebox TTL", "cachetools TTL", "theine, TTL")
# Importing it starts a thread, which would slow down whatever is measured in the same process.
THREADED = ("theine", "theine, TTL")

COLUMNS = ("hit", "equal key", "miss", "overwrite", "new", "evicting set", "zipf 90/10")
EMPTY, EMPTY_ZIPF = "empty", "empty zipf"


def last_second() -> float:
    """Return a lifetime that ends in this second of the wall clock, though not at once."""
    while not MARGIN < (left := 1 - time.time() % 1) < 1 - MARGIN:
        time.sleep(MARGIN / 2)
    return left - MARGIN / 2


class Cases:
    """The cases of one cache, over keys in an order that is not the one they were made in."""

    def __init__(self, name: str, entries: int) -> None:
        contender = CONTENDERS[name]
        self.open = contender.open
        self.entries = entries
        rng = random.Random(1)
        keys = [f"key {number}" for number in range(entries)]
        rng.shuffle(keys)
        equal = [key.encode().decode() for key in keys]
        absent = [f"absent {number}" for number in range(entries)]
        fresh = [[f"{turn} {number}" for number in range(entries)] for turn in range(2)]
        for others in (absent, *fresh):
            rng.shuffle(others)
        mix = [keys[pick] for pick in itertools.islice(zipf(1.0, entries, "mix"), entries)]
        mixed = [(mix[at : at + 9], mix[at + 9]) for at in range(0, len(mix) - 9, 10)]
        self.keys, self.equal, self.absent = parts(keys), parts(equal), parts(absent)
        self.fresh = [parts(others) for others in fresh]
        self.mix, self.mixed = parts(mixed, PART // 10), 10 * len(mixed)
        self.renewed = dict.fromkeys(keys, 1) if contender.is_short_lived else {}
        self.cache, self.evicting = self.filled(keys), self.filled(keys)
        names = {"c": None, "life": LIFE}
        read, write = contender.read, contender.write
        lines = {
            **dict.fromkeys(("hit", "equal key", "miss"), (f"for k in keys: {read}",)),
            **dict.fromkeys(("overwrite", "new", "evicting set"), (f"for k in keys: {write}",)),
            "zipf 90/10": ("for block, k in keys:", f"    {write}", f"    for k in block: {read}"),
            EMPTY: ("for k in keys: pass",),
            EMPTY_ZIPF: ("for block, k in keys:", "    for k in block: pass"),
        }
        self.loops = {
            case: timed_loop(f"{name}: {case}", names, *lines[case])
            for case in lines
            if case not in contender.skips
        }

    def filled(self, keys: list[str]) -> Any:
        """Return a cache that holds the keys."""
        cache, store = self.open(self.entries)
        for key in keys:
            store(key)
        return cache

    def run(self, case: str) -> list[float]:
        """Return the seconds of each part of one pass."""
        cache, keys = self.cache, self.keys
        if case == "equal key":
            keys = self.equal
        elif case == "miss":
            keys = self.absent
        elif case == "new":
            cache, _ = self.open(self.entries)
        elif case == "evicting set":
            cache, keys = self.evicting, self.fresh[0]
            self.fresh.reverse()
        elif case in ("zipf 90/10", EMPTY_ZIPF):
            keys = self.mix
        loop = self.loops[case]
        while self.renewed and case == "hit":
            cache.set_many(self.renewed, last_second())
            seconds = [loop(part, c=cache) for part in keys]
            if keys[-1][-1] in cache:  # else it was interrupted, and not all were hits
                return seconds
        return [loop(part, c=cache) for part in keys]

    def count(self, case: str) -> int:
        """Return how many operations a pass does."""
        return self.mixed if case in ("zipf 90/10", EMPTY_ZIPF) else self.entries


def parts(items: list[Any], size: int = PART) -> list[list[Any]]:
    """Return the items in lists that are timed one by one."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def timed(cases: dict[str, Cases]) -> dict[tuple[str, str], tuple[Callable[[], list[float]], int]]:
    """Return what is timed of some caches, by cache and case."""
    return {
        (name, case): (functools.partial(of_cache.run, case), of_cache.count(case))
        for name, of_cache in cases.items()
        for case in of_cache.loops
    }


def times(names: list[str], entries: int, seconds: float) -> dict[str, dict[str, float]]:
    """Return nanoseconds per operation, by cache and case; the empty loops are among the cases."""
    cases = {name: Cases(name, entries) for name in names}
    best = minima(timed(cases), seconds)
    return {
        name: {case: best[name, case] for case in of_cache.loops}
        for name, of_cache in cases.items()
    }


def times_in_turns(name: str, entries: int) -> Generator[None, str | None, dict[str, float]]:
    """Measure one cache in turns until something is sent, then return its times by case."""
    cases = timed({name: Cases(name, entries)})
    best: dict[Any, list[float]] = {}
    settle()
    while (yield) is None:
        end = time.perf_counter() + SLICE
        take_turns(cases, best)
        while time.perf_counter() < end:  # a slow cache's turn takes longer anyway
            take_turns(cases, best)
    return {case: ns for (_, case), ns in nanoseconds(cases, best).items()}


def net(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the times less those of the empty loop, which all caches share."""
    empty, mixed = (min(row[case] for row in table.values()) for case in (EMPTY, EMPTY_ZIPF))
    return {
        name: {
            case: round(row[case] - (mixed if case == "zipf 90/10" else empty), 1)
            for case in COLUMNS
            if case in row
        }
        for name, row in table.items()
    }


def bytes_per_entry(name: str, entries: int) -> float:
    """Return by how much the process grows per entry while a cache is filled.

    The keys and values are there before, so this is the cache's own memory, whoever allocates it.
    """
    _, store = CACHES[name].open(10)
    store("warm")  # whatever the import needs
    keys = [f"key {number}" for number in range(entries)]
    cache, store = CACHES[name].open(entries)
    gc.collect()
    before = resident()
    for key in keys:
        store(key)
    grown = resident() - before
    del cache
    return round(grown / entries, 1)


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    try:  # it counts page by page, where statm may be a few hundred kB behind
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        text = ""
    if found := re.search(r"^Rss: +(\d+) kB", text, re.MULTILINE):
        return int(found[1]) * 1024
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def hit_ratios(names: list[str]) -> dict[str, dict[str, float]]:
    """Return the per cent of requests that hit, by cache with its size, and trace."""
    ratios: dict[str, dict[str, float]] = {}
    for trace, entries in itertools.product(TRACES, SIZES):
        wanted = list(itertools.islice(TRACES[trace](OBJECTS), REQUESTS))
        for name in names:
            cache, store = CACHES[name].open(entries)
            hits = 0
            for item in wanted:
                found = cache.get(item)
                if found is None or found == (None, False):  # the latter is theine's miss
                    store(item)
                else:
                    hits += 1
            row = ratios.setdefault(f"{name}, {entries:,} of {OBJECTS:,}", {})
            row[trace] = round(hits / REQUESTS * 100, 1)
    return ratios
