"""Compare the cache engines with their peers: times, bytes per entry, hit ratios.

    python3 -m venv peers && peers/bin/pip install -r benchmarks/requirements-cache.txt
    peers/bin/python benchmarks/cache.py [--seconds N] [--json FILE]

Each table is measured by child processes, one per repetition with 1,000 entries and one per cache
with 100,000, where caches that share a process would measure how they push each other out of the
processor's caches. Within a process all cases take turns, each has a code object of its own, and
the minimum over all turns counts, less the empty loop's. theine starts a thread when it is
imported, so it has a process to itself. Memory is what the resident set grows by while existing
keys and values are put in.

The engines are taken from the source tree if they are not installed. Only minima and ratios
between columns of one run mean anything; an interpreter built with PGO is what to compare.
"""

from __future__ import annotations

import argparse
import bisect
import gc
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import sysconfig
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PEERS = ("cachebox", "cachetools", "lru-dict", "theine")
TTL = 300


# ---- the caches


def theine(entries: int) -> Any:
    """Return a theine cache with the interface of the others."""
    import theine as package

    class Items(package.Cache):
        def __setitem__(self, key: object, value: object) -> None:
            self.set(key, value, life)

    life = timedelta(seconds=TTL)
    return Items(entries)


def compiled(entries: int, **options: Any) -> Any:
    """Return the compiled engine."""
    from fastpath_ext import Store

    return Store(entries, **options)


def pure(entries: int, **options: Any) -> Any:
    """Return the pure engine."""
    from cores.store import Store

    return Store(entries, **options)


def peer(module: str, cache: str, *options: object) -> Callable[[int], Any]:
    """Return what makes a cache of a class of another package."""
    return lambda entries: getattr(importlib.import_module(module), cache)(entries, *options)


CACHES: dict[str, Callable[[int], Any]] = {
    "dict": lambda _: {},
    "compiled": compiled,
    "compiled ttl": lambda entries: compiled(entries, default_ttl=TTL),
    "compiled s3fifo": lambda entries: compiled(entries, policy="s3fifo"),
    "compiled s3fifo ttl": lambda entries: compiled(entries, policy="s3fifo", default_ttl=TTL),
    "pure": pure,
    "pure ttl": lambda entries: pure(entries, default_ttl=TTL),
    "cachetools LRU": peer("cachetools", "LRUCache"),
    "cachetools TTL": peer("cachetools", "TTLCache", TTL),
    "lru-dict": peer("lru", "LRU"),
    "cachebox LRU": peer("cachebox", "LRUCache"),
    "cachebox TTL": peer("cachebox", "TTLCache", TTL),
    "theine TTL": theine,
}


# ---- the cases: what happens to each key of a list

STATEMENTS = {
    "hit": "c.get(k)",
    "equal key": "c.get(k)",
    "miss": "c.get(k)",
    "overwrite": "c[k] = 1",
    "new": "c[k] = 1",
    "evicting set": "c[k] = 1",
    "zipf 90/10": "c.get(k)\n        c[s] = 1",
    "loop": "pass",
}


def compile_loop(case: str) -> Callable[..., float]:
    """Return the timed loop of a case, in a code object that nothing else runs."""
    if case == "zipf 90/10":  # nine reads, one write
        body = "    for block, s in keys:\n        for k in block: c.get(k)\n        c[s] = 1\n"
    else:
        body = f"    for k in keys: {STATEMENTS[case]}\n"
    source = f"def loop(c, keys, now):\n    start = now()\n{body}    return now() - start\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, case, "exec"), namespace)
    loop: Callable[..., float] = namespace["loop"]
    return loop


class Cases:
    """The cases of one cache."""

    def __init__(self, name: str, entries: int) -> None:
        self.make = CACHES[name]
        self.entries = entries
        self.bounded = name != "dict"
        rng = random.Random(1)
        self.keys = [f"key {number}" for number in range(entries)]
        rng.shuffle(self.keys)
        self.equal = [key.encode().decode() for key in self.keys]
        self.absent = [f"absent {number}" for number in range(entries)]
        self.fresh = [[f"{turn} {number}" for number in range(entries)] for turn in range(2)]
        self.turn = 0
        picks = itertools.islice(zipf(1.0, entries, "mix"), entries)
        mix = [self.keys[pick] for pick in picks]
        self.mix = [(mix[at : at + 9], mix[at + 9]) for at in range(0, len(mix) - 9, 10)]
        self.cache = self.make(entries)
        self.evicting = self.make(entries)
        for key in self.keys:
            self.cache[key] = 1
            self.evicting[key] = 1
        self.loops = {case: compile_loop(case) for case in STATEMENTS}

    def run(self, case: str) -> tuple[float, int]:
        """Return the seconds of one pass and how many operations it did."""
        cache, keys = self.cache, self.keys
        if case == "equal key":
            keys = self.equal
        elif case == "miss":
            keys = self.absent
        elif case == "new":
            cache = self.make(self.entries)
        elif case == "evicting set":
            cache, keys = self.evicting, self.fresh[self.turn]
            self.turn = 1 - self.turn
        elif case == "zipf 90/10":
            return self.loops[case](cache, self.mix, time.perf_counter), 10 * len(self.mix)
        return self.loops[case](cache, keys, time.perf_counter), len(keys)


def measure(names: list[str], entries: int, seconds: float) -> dict[str, dict[str, float]]:
    """Return nanoseconds per operation, by cache and case."""
    cases = {name: Cases(name, entries) for name in names}
    best: dict[tuple[str, str], float] = {}
    gc.collect()
    gc.freeze()
    gc.disable()
    end = time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        for name, of_cache in cases.items():
            for case in STATEMENTS:
                if case == "evicting set" and not of_cache.bounded:
                    continue
                # The second time the processor's caches hold what the case needs, if they can.
                for spent, count in (of_cache.run(case), of_cache.run(case)):
                    ns = spent / count * 1e9
                    best[name, case] = min(best.get((name, case), ns), ns)
    empty = min(spent for (_, case), spent in best.items() if case == "loop")
    return {
        name: {
            case: round(best[name, case] - empty, 1)
            for case in STATEMENTS
            if (name, case) in best and case != "loop"
        }
        for name in names
    }


def bytes_per_entry(name: str, entries: int) -> float:
    """Return by how much the process grows per entry while a cache is filled."""
    CACHES[name](10)["warm"] = 1  # whatever the import needs
    keys = [f"key {number}" for number in range(entries)]
    cache = CACHES[name](entries)
    gc.collect()
    before = resident()
    for key in keys:
        cache[key] = 1
    return round((resident() - before) / entries, 1)


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


# ---- hit ratios


def zipf(skew: float, objects: int, seed: str) -> Iterator[int]:
    """Return popular objects more often, object 0 most often."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank**skew for rank in range(1, objects + 1)))
    while True:
        yield bisect.bisect_left(weights, rng.random() * weights[-1])


def scans(objects: int) -> Iterator[int]:
    """Return popular objects, and for 30 % of the requests objects that come once."""
    popular, rng, fresh = zipf(1.0, objects, "scans"), random.Random("when"), itertools.count()
    while True:
        yield from itertools.islice(popular, 700)
        yield from (objects + next(fresh) for _ in range(rng.randrange(600)))


def loop(objects: int) -> Iterator[int]:
    """Return popular objects, and for a third of the requests a loop over more than fit."""
    popular, around = zipf(1.0, objects, "loop"), itertools.cycle(range(objects // 10))
    while True:
        yield next(popular)
        yield next(popular)
        yield objects + next(around)


def drift(objects: int) -> Iterator[int]:
    """Return popular objects, all of which are others after 100 requests per object."""
    popular = zipf(1.0, objects, "drift")
    for number in itertools.count():
        yield next(popular) + number // 100


TRACES: dict[str, Callable[[int], Iterator[int]]] = {
    "zipf 1.0": lambda objects: zipf(1.0, objects, "steep"),
    "zipf 0.8": lambda objects: zipf(0.8, objects, "flat"),
    "zipf + scans": scans,
    "zipf + loop": loop,
    "drifting zipf": drift,
}


def hit_ratios(names: list[str], requests: int, objects: int) -> dict[str, dict[str, float]]:
    """Return the share of requests that hit, by cache (with its size) and trace."""
    ratios: dict[str, dict[str, float]] = {}
    for trace, entries in itertools.product(TRACES, (objects // 100, objects // 20)):
        wanted = list(itertools.islice(TRACES[trace](objects), requests))
        for name in names:
            cache = CACHES[name](entries)
            hits = 0
            for item in wanted:
                found = cache.get(item)
                if found is None or found == (None, False):  # the latter is theine's miss
                    cache[item] = 1
                else:
                    hits += 1
            ratios.setdefault(f"{name}, {entries}", {})[trace] = round(hits / requests, 3)
    return ratios


# ---- running it all


def child(task: str, *arguments: object) -> Any:
    """Run one task of this file in a process of its own."""
    paths = [str(ROOT / f"packages/{name}/src") for name in ("cores", "fastpath_ext")]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), *paths]).strip(":"),
    }
    ran = subprocess.run(
        [sys.executable, __file__, "--task", json.dumps([task, *arguments])],
        stdout=subprocess.PIPE,
        check=True,
        env=environment,
    )
    return json.loads(ran.stdout)


def minimum(
    runs: list[dict[str, dict[str, float]]],
) -> dict[str, dict[str, float]]:
    """Return the least of each value over several runs."""
    return {
        name: {case: min(run[name][case] for run in runs) for case in cases}
        for name, cases in runs[0].items()
    }


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a table, caches down and cases across."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    print(f"\n{title}\n{'':22}" + "".join(f"{column:>14}" for column in columns))
    for name, row in table.items():
        print(f"{name:22}" + "".join(f"{row.get(column, ''):>14}" for column in columns))


def main() -> None:
    """Measure, print the tables, and write them to a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=50, help="time to spend, roughly")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--only", help="caches to measure: names, separated by commas")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task, *arguments = json.loads(options.task)
        print(json.dumps(globals()[task](*arguments)))
        return
    names = [name.strip() for name in options.only.split(",")] if options.only else list(CACHES)
    quiet = [name for name in names if name != "theine TTL"]
    groups = [quiet, *([["dict", "theine TTL"]] if "theine TTL" in names else [])]
    share = options.seconds / 10
    small: dict[str, dict[str, float]] = {}
    for group in groups:
        runs = [child("measure", group, 1_000, share) for _ in range(3 if group is quiet else 1)]
        small = {**minimum(runs), **small}
    large = {}
    for name in names:
        large |= child("measure", [name], 100_000, options.seconds / 2 / len(names))
        large[name]["bytes/entry"] = child("bytes_per_entry", name, 100_000)
    contenders = [name for name in ("compiled", "compiled s3fifo", "theine TTL") if name in names]
    results = {
        "python": platform.python_version(),
        "pgo": "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "peers": {peer: importlib.metadata.version(peer) for peer in PEERS},
        "ns, 1,000 entries": small,
        "ns, 100,000 entries": large,
        "hit ratio": child("hit_ratios", contenders, 100_000, 20_000),
    }
    print(f"Python {results['python']} (PGO: {results['pgo']}), {results['machine']}")
    for title, table in results.items():
        if isinstance(table, dict) and title != "peers":
            show(title, table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
