"""What it costs to reach an operation: handles, the string door, and other ways to forward a call.

All cases of a path share a process and take turns; each has a loop of its own, over the 1,000 keys
of a cache whose entries have a TTL. Times are minima, less the empty loop's. Instructions are those
of twice as many calls less those of the calls, counted for the compiled path where there is perf or
valgrind.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tools import instructions

from benchmarks import measure, report
from benchmarks.figures import Figure
from benchmarks.measure import Table, child, least, show_progress
from benchmarks.rows import (
    DIRECT,
    DOOR_CACHE,
    DOOR_TARGET,
    EMPTY,
    ENTRIES,
    HANDLE,
    NAIVE_CACHE,
    NAIVE_COMPILED,
    NAIVE_TARGET,
    PYTHON_DIRECT,
    PYTHON_HANDLE,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 40.0
REPETITIONS = 4
PASSES = 3
COSTS = "per call"

HANDLE_NS = 8.0
DOOR_RATIO = 8.0
HANDLE_FIGURE = "gateway.cache_get over the engine's get"
TARGET_FIGURE = "string door to a bound Python target, for both"
CACHE_FIGURE = "string door to the compiled cache, for both"
FASTER = "x as fast as the naive design"


def parser() -> report.Parser:
    """Return the parser of `dev.py bench dispatch`."""
    options = report.Parser("dispatch", __doc__, saves=True)
    options.add_argument(
        "--seconds",
        type=report.duration,
        default=SECONDS,
        help=f"time for the loops (default {SECONDS:g})",
    )
    options.add_argument("--no-count", action="store_true", help="count no instructions")
    return options


def variables(path: str) -> dict[str, str]:
    """Return the environment variables that choose a path."""
    return {"THRIFTGATE_PURE": "1"} if path == "pure" else {}


def paths(state: dict[str, Any]) -> list[str]:
    """Return the paths that there are to measure."""
    if state["path"] == "pure":
        return ["pure"]
    return ["compiled", "off", "pure"]


def times(paths: list[str], seconds: float) -> Table:
    """Return the nanoseconds per call, less those of the empty loop."""
    share = seconds / REPETITIONS
    weights = {"compiled": 0.7, "off": 0.1, "pure": 0.2}
    runs: dict[str, list[Table]] = {path: [] for path in paths}
    for number in range(REPETITIONS):
        for path, of_path in runs.items():
            part = share * weights[path]
            of_path.append(child("calls", "times", path, part, **variables(path)))
        show_progress("dispatch: repetition", number + 1, REPETITIONS)
    table: Table = {}
    for of_path in runs.values():
        best = least(of_path)
        empty = best.pop(EMPTY)["ns"]
        table |= {name: {"ns": round(row["ns"] - empty, 1)} for name, row in best.items()}
    return table


def count(path: str, counter: Callable[..., int]) -> dict[str, float]:
    """Return the instructions per call of a path's cases, less those of the empty loop."""
    cases = child("calls", "names", path, **variables(path))

    def counted(name: str, passes: int) -> int:
        command = measure.command("calls", "repeat", path, name, passes)
        return counter(command, measure.settings(**variables(path)))

    found = {}
    with ThreadPoolExecutor(2) as pool:
        tasks = {
            name: [pool.submit(counted, name, passes) for passes in (PASSES, 2 * PASSES)]
            for name in cases
        }
        for done, (name, (once, twice)) in enumerate(tasks.items()):
            found[name] = (twice.result() - once.result()) / PASSES / ENTRIES
            show_progress("instructions: case", done + 1, len(cases))
    empty = found.pop(EMPTY)
    return {name: round(number - empty) for name, number in found.items()}


def judge(table: Table, state: dict[str, Any]) -> list[Figure]:
    """Return the figures that handles and the string door are held to."""
    if state["path"] == "pure":
        note = f"the compiled path does not run: {state['reason']}"
        return [
            Figure(HANDLE_FIGURE, None, HANDLE_NS, "ns", note),
            *(
                Figure(name, None, DOOR_RATIO, FASTER, note, at_least=True)
                for name in (TARGET_FIGURE, CACHE_FIGURE)
            ),
        ]
    note = "" if state["has_handles"] else "there is no handle, it is a Python function"
    return [
        added(HANDLE_FIGURE, table, HANDLE, DIRECT, note=note),
        added(
            "gateway.cache_get over the engine's get, as attributes of modules",
            table,
            f"{HANDLE}, of the module",
            f"{DIRECT}, of a module",
            is_judged=False,
        ),
        added(
            "a handle over a Python function",
            table,
            PYTHON_HANDLE,
            PYTHON_DIRECT,
            is_judged=False,
        ),
        faster(TARGET_FIGURE, table, DOOR_TARGET, NAIVE_TARGET),
        faster(CACHE_FIGURE, table, DOOR_CACHE, NAIVE_COMPILED),
        faster(
            "string door to the compiled cache, naive design with the one in Python",
            table,
            DOOR_CACHE,
            NAIVE_CACHE,
            is_judged=False,
        ),
    ]


def added(
    name: str, table: Table, call: str, direct: str, *, note: str = "", is_judged: bool = True
) -> Figure:
    """Return the figure of how much a call costs over a direct one."""
    ns, floor = table[call]["ns"], table[direct]["ns"]
    note = f"{ns} to {floor} ns{'; ' if note else ''}{note}"
    return Figure(name, round(ns - floor, 1), HANDLE_NS, "ns", note, is_judged=is_judged)


def faster(name: str, table: Table, call: str, naive: str, *, is_judged: bool = True) -> Figure:
    """Return the figure of how many times faster a call is than the naive design."""
    ns, slow = table[call]["ns"], table[naive]["ns"]
    ratio, note = round(slow / ns, 1), f"{ns} to {slow} ns"
    return Figure(name, ratio, DOOR_RATIO, FASTER, note, at_least=True, is_judged=is_judged)


def results(seconds: float, *, is_counting: bool) -> dict[str, Any]:
    """Measure and judge."""
    state = child("calls", "state")
    measured = paths(state)
    table = times(measured, seconds)
    counter = instructions.counter() if is_counting else None
    if counter is not None:
        for name, number in count(measured[0], counter).items():
            table[name]["instructions"] = number
    elif is_counting:
        sys.stderr.write("instructions are not counted: there is neither perf nor valgrind\n")
    conditions = report.conditions(
        clock="exact clock",
        calls="f(k) and f(i, 'get', key=k)",
        path=state["path"],
        handles="yes" if state["has_handles"] else "no",
        seconds=seconds,
    )
    return report.document("dispatch", conditions, {COSTS: table}, judge(table, state))


def main() -> int:
    """Measure, tell, and say which figures hold."""
    options = parser().parse_args()

    def run() -> dict[str, Any]:
        return results(options.seconds, is_counting=not options.no_count)

    return report.conclude("dispatch", run, options)


if __name__ == "__main__":
    sys.exit(main())
