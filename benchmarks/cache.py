"""The cache engines next to their peers: times, bytes per entry, hit ratios and start-up.

With 1,000 entries all caches share a process and take turns; with 100,000 each has a process to
itself, because together they would measure how they push each other out of the processor's caches;
the processes take turns.
Times are minima, less the empty loop's. Only ratios within one run mean anything on another
machine. Memory is what the resident set grows by while existing keys and values are put in.
"""

from __future__ import annotations

import importlib.metadata
import sys
import time
from typing import Any

from benchmarks import figures, report
from benchmarks.caches import CACHES, LAST_SECOND, OWN, PEERS, PEERS_TTL, THREADED, net
from benchmarks.figures import Figure
from benchmarks.measure import Table, Worker, child, least, show_progress
from benchmarks.startup import import_times

SMALL, LARGE = 1_000, 100_000
SIZES = (SMALL, LARGE)
PACKAGES = ("cachebox", "cachetools", "lru-dict", "theine")
SECONDS = 100.0
IMPORTS = 60
ROUNDS = 3  # at least

TIMES = "ns per operation, {:,} entries"
MEMORY = f"bytes per entry, {LARGE:,} entries"
HITS = "hit ratio, per cent"
STARTUP = "start-up"

HIT_LIMIT = 1.3  # x dict.get
# Two figures are times on a reference machine, where dict.get takes 13.4 ns and importing an empty
# extension 83 us. The ratio is judged, as it holds on other machines; the time is told.
PURE_NS = 220
PURE_LIMIT = 16.4  # x dict.get
BYTES_LIMIT = 70
POINTS_LIMIT = 1.0
IMPORT_US = 120
IMPORT_LIMIT = 1.45  # x an empty extension
FILE_LIMIT = 80_000
# Cython makes it in memory, together with the extension; no file belongs to it.
IN_MEMORY = {"cython_runtime"}


def parser() -> report.Parser:
    """Return the parser of `dev.py bench cache`."""
    options = report.Parser("cache", __doc__, saves=True)
    options.add_argument(
        "--seconds",
        type=report.duration,
        default=SECONDS,
        help=f"time for the loops (default {SECONDS:g})",
    )
    return options


def small_times(seconds: float, repetitions: int = 4) -> Table:
    """Return the times with 1,000 entries."""
    names = (*CACHES, LAST_SECOND)
    quiet = [name for name in names if name not in THREADED]
    share = seconds / repetitions
    runs: dict[str, list[Table]] = {"quiet": [], "threaded": []}
    for number in range(repetitions):
        runs["quiet"].append(child("caches", "times", quiet, SMALL, share * 0.85))
        runs["threaded"].append(child("caches", "times", THREADED, SMALL, share * 0.15))
        show_progress(f"{SMALL:,} entries: repetition", number + 1, repetitions)
    merged = {**least(runs["quiet"]), **least(runs["threaded"])}
    return net({name: merged[name] for name in names})


def large_times(seconds: float) -> Table:
    """Return the times with 100,000 entries: each cache in a process, the processes in turns."""
    workers = {name: Worker("caches", "times_in_turns", name, LARGE) for name in CACHES}
    for worker in workers.values():
        worker.turn()  # makes the keys and fills the cache
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < ROUNDS or time.monotonic() < end:
        for worker in workers.values():
            worker.turn()
        rounds += 1
        sys.stderr.write(f"{LARGE:,} entries: round {rounds}\n")
    return net({name: worker.result() for name, worker in workers.items()})


def memory() -> Table:
    """Return the bytes per entry."""
    table = {}
    for number, name in enumerate(CACHES):
        table[name] = {"bytes": child("caches", "bytes_per_entry", name, LARGE)}
        show_progress("memory: process", number + 1, len(CACHES))
    return table


def start_up() -> Table:
    """Return what the extension's import costs, next to an empty one's; nothing without one."""
    found = import_times(IMPORTS)
    if found is None:
        return {}
    modules = [name for name in found.further_modules if name not in IN_MEMORY]
    return {
        "extension": {"us": found.extension_us, "bytes": found.size, "modules": len(modules)},
        "empty extension": {"us": found.floor_us},
    }


def judge(tables: dict[str, Table]) -> list[Figure]:
    """Return the figures that the engines are held to, and what is told beside them."""
    own = [f"{name}{suffix}" for suffix in (", TTL", "") for name in OWN]
    return [
        *hit_figures(tables),
        *peer_figures(tables),
        *(
            Figure(
                f"memory of {name}, {LARGE:,} entries",
                tables[MEMORY][name]["bytes"],
                BYTES_LIMIT,
                "bytes/entry",
            )
            for name in own
        ),
        hit_ratio_figure(tables[HITS]),
        *start_up_figures(tables[STARTUP]),
    ]


def hit_figures(tables: dict[str, Table]) -> list[Figure]:
    """Hold a hit of both engines against dict.get; both are judged with 1,000 entries."""
    small = tables[TIMES.format(SMALL)]
    return [
        *(
            hit_figure(name, limit, entries, tables[TIMES.format(entries)])
            for name, limit in (("Store, TTL", HIT_LIMIT), ("pure Store, TTL", PURE_LIMIT))
            for entries in SIZES
        ),
        hit_figure(LAST_SECOND, HIT_LIMIT, SMALL, small, is_judged=False),
        Figure(
            f"hit of pure Store, TTL, {SMALL:,} entries, as a time",
            small["pure Store, TTL"]["hit"],
            PURE_NS,
            "ns",
            f"{PURE_NS} where dict.get takes 13.4",
            is_judged=False,
        ),
    ]


def hit_figure(
    name: str, limit: float, entries: int, table: Table, *, is_judged: bool = True
) -> Figure:
    """Return the figure of a hit next to dict.get's; that of many entries is never judged."""
    hit, floor = table[name]["hit"], table["dict"]["hit"]
    return Figure(
        f"hit of {name}, {entries:,} entries",
        round(hit / floor, 2),
        limit,
        "x dict.get",
        f"{hit} to {floor} ns",
        is_judged=is_judged and entries == SMALL,
    )


def peer_figures(tables: dict[str, Table]) -> list[Figure]:
    """Hold the compiled engine against the peers that do the same: expire entries, or do not.

    How it does with expiry next to peers without is told, and not judged.
    """
    return [
        figures.ahead(
            f"{own}{suffix} ahead of {kind}, {entries:,} entries",
            tables[TIMES.format(entries)],
            f"{own}{suffix}",
            peers,
            is_judged=is_judged,
        )
        for own in OWN
        for suffix, kind, peers, is_judged in (
            (", TTL", "every peer with TTL", PEERS_TTL, True),
            ("", "every peer without TTL", PEERS, True),
            (", TTL", "every peer without TTL", PEERS, False),
        )
        for entries in SIZES
    ]


def hit_ratio_figure(hits: Table) -> Figure:
    """Hold S3-FIFO against LRU on each trace."""
    points = {
        f"{trace}, {row.partition(', ')[2]}": round(ratio - hits[f"s3fifo {row}"][trace], 1)
        for row, ratios in hits.items()
        for trace, ratio in ratios.items()
        if f"s3fifo {row}" in hits
    }
    worst = max(points, key=points.__getitem__)
    note = f"worst on {worst}" + (" (below zero: it is ahead)" if points[worst] < 0 else "")
    return Figure("s3fifo's hit ratio below LRU's", points[worst], POINTS_LIMIT, "points", note)


def start_up_figures(table: Table) -> list[Figure]:
    """Hold the import of the extension against that of an empty one."""
    if not table:
        note = "there is no compiled extension"
        return [Figure("import of the extension", None, IMPORT_LIMIT, "x an empty one", note)]
    found, floor = table["extension"], table["empty extension"]
    ratio = round(found["us"] / floor["us"], 2)
    note = f"{found['us']} to {floor['us']} us"
    return [
        Figure("import of the extension", ratio, IMPORT_LIMIT, "x an empty one", note),
        Figure(
            "import of the extension, as a time",
            found["us"],
            IMPORT_US,
            "us",
            f"{IMPORT_US} where an empty one takes 83",
            is_judged=False,
        ),
        Figure("further modules from files", found["modules"], 0, "modules"),
        Figure("file of the extension", found["bytes"], FILE_LIMIT, "bytes"),
    ]


def results(seconds: float) -> dict[str, Any]:
    """Measure and judge."""
    tables = {TIMES.format(SMALL): small_times(seconds / 2)}
    tables[TIMES.format(LARGE)] = large_times(seconds / 2)
    tables |= {MEMORY: memory(), HITS: child("caches", "hit_ratios", [*OWN, "theine"])}
    tables[STARTUP] = start_up()
    conditions = report.conditions(
        clock="exact clock",
        clock_reads="time() at a compiled hit of an entry with a TTL, clock_gettime() at the first"
        " one of a second and in the second in which the entry expires",
        calls="c.get(k) and c[k] = 1",
        other_calls="c.set(k, 1) and c.set(k, 1, ttl) of theine, c(k) of functools",
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        seconds=seconds,
    )
    return report.document("cache", conditions, tables, judge(tables))


def main() -> int:
    """Measure, tell, and say which figures hold."""
    options = parser().parse_args()
    return report.conclude("cache", lambda: results(options.seconds), options)


if __name__ == "__main__":
    sys.exit(main())
