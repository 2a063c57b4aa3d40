"""What the benchmarks share: options, timed loops, child processes, and judged figures."""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import subprocess
import sys
import sysconfig
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Hashable, Mapping, Sequence

    # What is timed, by any name: a function, and how many operations one call does.
    Cases = Mapping[Any, tuple[Callable[[], Sequence[float]], int]]

Table = dict[str, dict[str, float]]  # numbers by row and column

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
JUST_BELOW = 0.999  # a tie is not ahead
# The hash of a text decides where it lies in a table, so it must not differ between runs.
HASH_SEED = "1"


def add_options(parser: argparse.ArgumentParser, *, saves: bool = False) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write one JSON document to FILE, or in place of the tables to the standard output",
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when a figure is missed")
    if saves:
        parser.add_argument(
            "--save",
            action="store_true",
            help="write the results to benchmarks/results, and the plots and the tables to docs",
        )
        parser.add_argument(
            "--redraw", action="store_true", help="only make the plots and the tables of docs anew"
        )


def show_progress(what: str, done: int, of: int) -> None:
    """Say how far a measurement is: on a terminal in place, elsewhere every tenth."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{what} {done} of {of}" + ("\n" if done == of else ""))
    elif done % 10 == 0 or done == of:
        sys.stderr.write(f"{what} {done} of {of}\n")
    sys.stderr.flush()


# ---- the machine


def profile_guided() -> str:
    """Return how the interpreter was optimised, as far as it knows itself.

    configure sets the flag for every build, used or not. Debian's packages are profiled without
    configure's option, and the flag is blanked afterwards; nobody else blanks it.
    """
    if "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")):
        return "PGO"
    if sysconfig.get_config_var("PGO_PROF_USE_FLAG") == "":
        return "PGO by its distributor"
    return "not PGO"


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def conditions(**more: object) -> dict[str, object]:
    """Return under what conditions this run measures."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": profile_guided(),
        "compiler": platform.python_compiler(),
        "processor": processor(),
        "architecture": platform.machine(),
        "system": f"{platform.system()}, {' '.join(platform.libc_ver())}",
        "hash_seed": HASH_SEED,
        **more,
    }


# ---- figures


@dataclass(frozen=True)
class Figure:
    """A number that was promised: at most `limit`, or at least."""

    name: str
    value: float | None  # None when it could not be measured; then the note says why
    limit: float
    unit: str
    note: str = ""
    at_least: bool = False
    is_judged: bool = True  # else it is only told

    @property
    def verdict(self) -> str:
        """Return PASS or MISS, or INFO for what is not judged; what was not measured is missed."""
        if not self.is_judged:
            return "INFO"
        if self.value is None:
            return "MISS"
        holds = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "PASS" if holds else "MISS"

    def line(self, conditions: str) -> str:
        """Return the verdict with what it rests on."""
        bound = f", at {'least' if self.at_least else 'most'} {self.limit:,g}"
        value = "not measured" if self.value is None else f"{self.value:,g} {self.unit}"
        note = f"; {self.note}" if self.note else ""
        bound = bound if self.is_judged else ""
        return f"{self.verdict}  {self.name}: {value}{bound}{note} [{conditions}]"


def ahead(
    name: str,
    table: Table,
    own: str,
    peers: Sequence[str],
    *,
    is_judged: bool = True,
) -> Figure:
    """Return the figure that *own* is ahead of each peer in every column that both have.

    Its value is the largest ratio to the nearest peer; a column that the peer wins is named.
    """
    nearest = {}
    for column in table[own]:
        rivals = {peer: table[peer][column] for peer in peers if column in table[peer]}
        nearest[column] = min(rivals, key=rivals.__getitem__)
    ratios = {column: table[own][column] / table[peer][column] for column, peer in nearest.items()}
    lost = [column for column, ratio in ratios.items() if ratio >= 1]
    shown = lost or [max(ratios, key=ratios.__getitem__)]
    pairs = [f"{it} {table[own][it]} to {table[nearest[it]][it]} of {nearest[it]}" for it in shown]
    note = f"{'behind' if lost else 'nearest'}: {', '.join(pairs)}"
    value = round(max(ratios.values()), 3)
    return Figure(name, value, JUST_BELOW, "x the nearest peer", note, is_judged=is_judged)


# ---- measuring


def timed_loop(name: str, names: Mapping[str, object], *lines: str) -> Callable[..., float]:
    """Return what times the *lines* over a list called `keys`, and returns seconds.

    Each loop has a code object of its own, because the interpreter specialises the code of one
    loop for the types that it met there. The *names* are its local variables; a call may give
    others than these.
    """
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def loop(keys, now, {', '.join(names)}):\n    start = now()\n{body}"
    source += "    return now() - start\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, name, "exec"), namespace)
    loop = namespace["loop"]
    return lambda keys, **others: loop(keys, time.perf_counter, **{**names, **others})


def minima(cases: Cases, seconds: float) -> dict[Any, float]:
    """Return the least nanoseconds per operation of each case over many turns.

    A case is a function and the number of operations of one call, which returns the seconds of
    each part of it; the least of each part counts, so that a long call need not be undisturbed
    from end to end. All cases take turns, so that a slow moment of the machine hits them all.
    """
    best: dict[Hashable, list[float]] = {}
    end = time.perf_counter() + seconds
    settle()
    while True:
        take_turns(cases, best)
        if time.perf_counter() >= end:
            return nanoseconds(cases, best)


def settle() -> None:
    """Keep the garbage collector out of what follows."""
    gc.collect()
    gc.freeze()
    gc.disable()


def take_turns(cases: Cases, best: dict[Hashable, list[float]]) -> None:
    """Run each case twice and keep the least of each part.

    The second time the processor's caches hold what the case needs, if they can.
    """
    for case, (run, _) in cases.items():
        for parts in (run(), run()):
            best[case] = list(map(min, best.get(case, parts), parts))


def nanoseconds(cases: Cases, best: dict[Hashable, list[float]]) -> dict[Any, float]:
    """Return the nanoseconds per operation."""
    return {case: sum(best[case]) / count * 1e9 for case, (_, count) in cases.items()}


def least(runs: Sequence[Table]) -> Table:
    """Return the least of each number over several runs."""
    return {
        row: {column: min(run[row][column] for run in runs) for column in columns}
        for row, columns in runs[0].items()
    }


_CHILD = """\
import importlib, json, sys
module, task, arguments = sys.argv[1:]
print(json.dumps(getattr(importlib.import_module(module), task)(*json.loads(arguments))))
"""


def command(module: str, task: str, *arguments: object) -> list[str]:
    """Return the command that runs a function of a module of benchmarks and prints its result."""
    return [sys.executable, "-P", "-c", _CHILD, f"benchmarks.{module}", task, json.dumps(arguments)]


def settings(**variables: str) -> dict[str, str]:
    """Return a child's environment variables: only what is needed, the same at each run."""
    kept = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": str(ROOT), **variables}


def child(module: str, task: str, *arguments: object, **variables: str) -> Any:
    """Return the result of a function of a module of benchmarks, run in a process of its own."""
    ran = subprocess.run(
        command(module, task, *arguments),
        stdout=subprocess.PIPE,
        check=True,
        env=settings(**variables),
    )
    return json.loads(ran.stdout)


class Worker:
    """A function of a module of benchmarks in a process that works when it is told to.

    The function is a generator: it measures a turn between two yields, and its return value is the
    result. Workers that take turns share the machine's slow moments, and no memory.
    """

    def __init__(self, module: str, task: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            command("measure", "work", module, task, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=settings(),
        )

    def turn(self, word: str = "again") -> str:
        """Let it work once and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(word, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def result(self) -> Any:
        """Return the result and end the process."""
        answer = self.turn("end")
        self._process.communicate()
        if self._process.returncode:
            msg = f"a worker ended with {self._process.returncode}"
            raise RuntimeError(msg)
        return json.loads(answer)


def work(module: str, task: str, arguments: list[Any]) -> None:
    """Do a worker's part: a turn for each line, and the result at the last one."""
    turns = getattr(importlib.import_module(f"benchmarks.{module}"), task)(*arguments)
    for line in sys.stdin:
        if line == "end\n":
            break
        next(turns)
        print("done", flush=True)
    try:
        turns.send("end")
    except StopIteration as end:
        print(json.dumps(end.value), flush=True)


# ---- telling


def columns_of(table: Table) -> list[str]:
    """Return the columns of a table in the order of its fullest row."""
    rows = sorted(table.values(), key=len, reverse=True)
    return list(dict.fromkeys(column for row in rows for column in row))


def show(title: str, table: Table) -> str:
    """Return a table as text, its rows under each other."""
    columns = columns_of(table)
    first = max(len(name) for name in table) + 2
    widths = [max(len(column), 8) + 2 for column in columns]
    lines = [
        title,
        " " * first + "".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)),
    ]
    for name, row in table.items():
        cells = (f"{row[c]:,}" if c in row else "-" for c in columns)
        lines.append(
            f"{name:{first}}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))
        )
    return "\n".join(lines)


def document(
    title: str, conditions: dict[str, object], tables: dict[str, Table], figures: Sequence[Figure]
) -> dict[str, Any]:
    """Return a benchmark's results as they are written to files."""
    return {
        "benchmark": title,
        "conditions": conditions,
        "tables": tables,
        "figures": [{**asdict(it), "verdict": it.verdict} for it in figures],
    }


def headline(conditions: Mapping[str, object]) -> str:
    """Return the conditions that change a verdict, for the end of a line."""
    names = ("build", "clock", "calls")
    parts = [str(conditions[name]) for name in names if name in conditions]
    return ", ".join([f"{conditions['implementation']} {conditions['python']}", *parts])


def write_json(results: Mapping[str, object], target: str) -> None:
    """Write one JSON document to a file, or to the standard output if that is `-`."""
    text = json.dumps(results, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).write_text(text)


def report(results: dict[str, Any], target: str | None) -> None:
    """Print the tables and verdicts, or write the JSON document where *target* says."""
    if target:
        write_json(results, target)
    if target == "-":
        return
    conditions = results["conditions"]
    print(f"\n{results['benchmark']}")
    for name, value in conditions.items():
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        print(f"  {name}: {shown}")
    for title, table in results["tables"].items():
        print(f"\n{show(title, table)}")
    print()
    for it in results["figures"]:
        figure = Figure(**{name: value for name, value in it.items() if name != "verdict"})
        print(figure.line(headline(conditions)))
    if conditions["build"] == "not PGO":
        print("This interpreter was built without PGO, so the figures are not those of the page.")


def save(results: dict[str, Any]) -> Path:
    """Write the results to the file of this benchmark and this version of Python."""
    RESULTS.mkdir(exist_ok=True)
    version = ".".join(platform.python_version_tuple()[:2])
    file = RESULTS / f"{results['benchmark']}-{version}.json"
    write_json(results, str(file))
    return file


def conclude(benchmark: str, run: Callable[[], dict[str, Any]], options: argparse.Namespace) -> int:
    """Measure, tell and save as the options say, and return the exit status."""
    if options.redraw:
        return publish(benchmark, [])
    results = run()
    report(results, options.json)
    if options.save:
        publish(benchmark, [save(results)])
    missed = any(it["verdict"] == "MISS" for it in results["figures"])
    return int(options.check and missed)


def publish(benchmark: str, files: list[Path]) -> int:
    """Draw the plots of the committed results and write the page's tables anew."""
    from benchmarks import page
    from benchmarks.plots import draw  # needs a library that measuring does without

    results = page.load()
    for run in results[benchmark].values():
        files += draw(run)
    text = page.PAGE.read_text(encoding="utf-8")
    page.PAGE.write_text(page.refresh(text, results), encoding="utf-8")
    names = ", ".join(str(it.relative_to(ROOT)) for it in [*files, page.PAGE])
    sys.stderr.write(f"wrote {names}\n")
    return 0
