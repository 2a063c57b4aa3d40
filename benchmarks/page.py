"""Write the tables of docs/performance.md from the results, so that it cannot drift from them.

A table of the page stands between two comments; the first names it: `<!-- cache figures -->`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure
from benchmarks.measure import ROOT
from benchmarks.report import RESULTS, columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = ROOT / "docs" / "performance.md"
END = "<!-- end -->"
BLOCK = re.compile(r"(?<=<!-- )(\w+) ([^\n]+)(?= -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)

Runs = dict[str, Any]  # results by version of Python


def load() -> dict[str, Runs]:
    """Return the committed results, by benchmark and version, the oldest version first."""
    found: dict[str, Runs] = {}
    for file in RESULTS.glob("*.json"):
        name, _, version = file.stem.rpartition("-")
        found.setdefault(name, {})[version] = json.loads(file.read_text())

    def age(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    return {name: {it: runs[it] for it in sorted(runs, key=age)} for name, runs in found.items()}


def refresh(text: str, results: Mapping[str, Runs]) -> str:
    """Return the page with its tables made anew."""

    def block(found: re.Match[str]) -> str:
        benchmark, name = found[1], found[2]
        if benchmark not in results:
            return found[0]
        return f"{benchmark} {name} -->\n\n{render(results[benchmark], name)}\n\n"

    return BLOCK.sub(block, text)


def render(runs: Runs, name: str) -> str:
    """Return what a pair of comments is about."""
    if name == "conditions":
        return conditions(runs)
    if name == "figures":
        return figures(runs)
    return table({version: run["tables"][name] for version, run in runs.items()})


def conditions(runs: Runs) -> str:
    """Return under what conditions each version was measured, a sentence a line."""
    lines = []
    for run in runs.values():
        it = run["conditions"]
        versions = ", ".join(
            f"{name} {version}" for name, version in it.get("versions", {}).items()
        )
        lines.append(
            f"{it['implementation']} {it['python']} ({it['build']}, {it['compiler']})"
            f" on {it['processor']}, {it['architecture']}, {it['system']}"
            f"{'; ' if versions else ''}{versions}."
        )
    return "\n".join(dict.fromkeys(lines))


def rows(header: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(runs: Runs) -> str:
    """Return the figures of all versions, each with its verdict, and what was missed."""
    by_name: dict[str, dict[str, Figure]] = {}
    for version, run in runs.items():
        for it in run["figures"]:
            figure = Figure(**{name: value for name, value in it.items() if name != "verdict"})
            by_name.setdefault(figure.name, {})[version] = figure
    body = []
    for name, of_version in by_name.items():
        any_of = next(iter(of_version.values()))
        bound = f"{'at least' if any_of.at_least else 'at most'} {any_of.limit:,g}"
        cells = [verdict(of_version[it]) if it in of_version else "-" for it in runs]
        body.append(
            [f"{name} ({any_of.unit})", bound if any_of.is_judged else "not judged", *cells]
        )
    return rows(["figure", "bound", *runs], body)


def verdict(figure: Figure) -> str:
    """Return a cell: the value, and for a missed figure why."""
    value = "not measured" if figure.value is None else f"{figure.value:,g}"
    if figure.verdict == "MISS":
        return f"{value} **MISS**{f' ({figure.note})' if figure.note else ''}"
    return f"{value} {figure.verdict}" if figure.is_judged else f"{value} ({figure.note})"


def table(of_version: Mapping[str, dict[str, dict[str, float]]]) -> str:
    """Return a table whose cells hold the numbers of all versions, as `1 / 2`."""
    columns = columns_of(
        {f"{it} {n}": row for it in of_version for n, row in of_version[it].items()}
    )
    names = list(dict.fromkeys(name for rows in of_version.values() for name in rows))

    def cell(name: str, column: str) -> str:
        numbers = [rows.get(name, {}).get(column) for rows in of_version.values()]
        if all(it is None for it in numbers):
            return ""
        return " / ".join("-" if it is None else f"{it:,}" for it in numbers)

    versions = " / ".join(of_version)
    return rows(
        [versions, *columns], [[it, *(cell(it, column) for column in columns)] for it in names]
    )
