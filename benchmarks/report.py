"""What the benchmarks say: their options, under what conditions they ran, and what they found."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import sysconfig
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import options

from benchmarks.figures import Figure
from benchmarks.measure import HASH_SEED, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.measure import Table

RESULTS = ROOT / "benchmarks" / "results"


class Parser(options.Parser):
    """The parser of `dev.py bench TABLE`, with the options that every table has.

    It needs nothing but the standard library, so that a command line is refused before anything
    is installed for it.
    """

    def __init__(self, table: str, description: str | None, *, saves: bool = False) -> None:
        super().__init__(f"bench {table}", description or "")
        add_options(self, saves=saves)

    def parse_known_args(  # type: ignore[override]  # as in the class above
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse what has no effect together with --redraw."""
        known, rest = super().parse_known_args(args, namespace)
        if getattr(known, "redraw", False):
            given = vars(known).items() - {("redraw", True)}
            idle = sorted(name for name, value in given if value != self.get_default(name))
            if idle:
                shown = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
                self.error(f"--redraw measures nothing, so it cannot be combined with {shown}")
        return known, rest


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


def duration(text: str) -> float:
    """Return the seconds that an option gives."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        msg = f"it takes a number of seconds above 0, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def count(text: str) -> int:
    """Return the number of rounds that an option gives."""
    number = int(text) if text.isdecimal() else 0
    if not number:
        msg = f"it takes a whole number above 0, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


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


def conclude(benchmark: str, run: Callable[[], dict[str, Any]], chosen: argparse.Namespace) -> int:
    """Measure, tell and save as the options say, and return the exit status."""
    if chosen.redraw:
        return publish(benchmark, [])
    results = run()
    report(results, chosen.json)
    if chosen.save:
        publish(benchmark, [save(results)])
    missed = any(it["verdict"] == "MISS" for it in results["figures"])
    return int(chosen.check and missed)


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
