"""Draw the results as SVG files for docs/images: the same bytes for the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib import pyplot as plt
from matplotlib import rc_context

from benchmarks.measure import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = ROOT / "docs" / "images"
OURS, PURE, OTHERS, TEXT = "#1f5fa8", "#8db4dd", "#b5b5b5", "#333333"
STYLE = {
    "svg.hashsalt": "thriftgate",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlesize": 9.5,
    "ytick.major.size": 0,
    "text.color": TEXT,
}
KINDS = {
    "without TTL": (
        "Store",
        "s3fifo Store",
        "pure Store",
        "functools",
        "lru-dict",
        "cachebox LRU",
        "cachetools LRU",
        "theine",
    ),
    "with TTL": (
        "Store, TTL",
        "s3fifo Store, TTL",
        "pure Store, TTL",
        "cachebox TTL",
        "cachetools TTL",
        "theine, TTL",
    ),
}


def draw(results: dict[str, Any]) -> list[Path]:
    """Draw what a benchmark found and return the files."""
    IMAGES.mkdir(exist_ok=True)
    version = ".".join(results["conditions"]["python"].split(".")[:2])
    with rc_context(STYLE):
        if results["benchmark"] == "dispatch":
            return [write(dispatch(results), f"dispatch-{version}")]
        return [
            write(cache(results, entries), f"cache-{entries.replace(',', '')}-{version}")
            for entries in ("1,000", "100,000")
        ]


def write(figure: Figure, name: str) -> Path:
    """Save and close a figure."""
    file = IMAGES / f"{name}.svg"
    figure.savefig(file, metadata={"Date": None, "Creator": None}, facecolor="white")
    plt.close(figure)
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
    return file


def colour(name: str) -> str:
    """Return the colour of a bar: ours, ours without the compiled path, or another's."""
    if name.startswith(("pure", "switched off")):
        return PURE
    is_ours = "Store" in name or name.startswith(("gateway.", "execute_operation"))
    return OURS if is_ours else OTHERS


def bars(axes: Axes, names: Sequence[str], numbers: Sequence[float | None], limit: float) -> None:
    """Draw bars from 0 to *limit*; a longer one ends at the frame, open, with its number in it."""
    for at, (name, number) in enumerate(zip(names, numbers, strict=True)):
        if number is None:
            axes.text(limit * 0.02, at, "-", va="center", color=TEXT)
            continue
        is_cut = number > limit
        axes.barh(at, min(number, limit), color=colour(name), height=0.72)
        axes.text(
            limit * 0.97 if is_cut else number + limit * 0.02,
            at,
            f"{number:,.0f} »" if is_cut else f"{number:,.1f}",
            va="center",
            ha="right" if is_cut else "left",
            color="black",
            zorder=4,
            bbox=None if is_cut else {"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.set_xlim(0, limit * 1.001)
    axes.set_ylim(len(names) - 0.5, -0.5)


def cache(results: dict[str, Any], entries: str) -> Figure:
    """Return the times of all caches, a column for each case."""
    table = results["tables"][f"ns per operation, {entries} entries"]
    columns = list(table["Store"])
    # Wide enough for the engine's own slowest case; what is far beyond ends at the frame.
    limit = 2.5 * max(table[name][it] for name in ("Store", "Store, TTL") for it in columns)
    figure, grid = plt.subplots(
        2,
        len(columns),
        figsize=(14, 5.2),
        sharex=True,
        gridspec_kw={"height_ratios": [len(names) for names in KINDS.values()]},
        layout="constrained",
    )
    for row, (kind, names) in zip(grid, KINDS.items(), strict=True):
        for axes, column in zip(row, columns, strict=True):
            bars(axes, names, [table[name].get(column) for name in names], limit)
            axes.set_yticks([])
            if axes in grid[0]:
                axes.set_title(column)
                if column in table["dict"]:
                    axes.axvline(table["dict"][column], color="#c0392b", linewidth=1, zorder=3)
        row[0].set_yticks(range(len(names)), [label(name, results) for name in names])
        row[0].set_ylabel(kind, fontsize=9.5)
    it = results["conditions"]
    figure.supxlabel(
        f"ns per operation from 0, {entries} entries, less is better; light: pure Python;"
        f" red: dict; »: ends outside the frame\n"
        f"{it['implementation']} {it['python']}, {it['build']}; {it['processor']};"
        f" {it['calls']}; minimum of interleaved runs",
        fontsize=8.5,
    )
    return figure


def label(name: str, results: dict[str, Any]) -> str:
    """Return a cache's name with the version of its package."""
    for package, version in results["conditions"]["versions"].items():
        if name.startswith(package):
            return f"{name} ({version})"
    return "functools.lru_cache" if name == "functools" else name


def dispatch(results: dict[str, Any]) -> Figure:
    """Return the times of all calls, those of a function above those through a string door."""
    table = {name: row["ns"] for name, row in results["tables"]["per call"].items()}
    doors = [it for it in table if "execute_operation" in it or "naive" in it or "key=" in it]
    groups = {"called as a function": [it for it in table if it not in doors], "by name": doors}
    figure, grid = plt.subplots(
        2,
        1,
        figsize=(10, 0.24 * len(table) + 1.6),
        gridspec_kw={"height_ratios": [len(names) for names in groups.values()]},
        layout="constrained",
    )
    for axes, (title, names) in zip(grid, groups.items(), strict=True):
        numbers = [table[name] for name in names]
        bars(axes, names, numbers, max(numbers) * 1.1)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(title, loc="left")
    it = results["conditions"]
    figure.supxlabel(
        "ns per call from 0, less is better; light: without the compiled path\n"
        f"{it['implementation']} {it['python']}, {it['build']}; {it['processor']};"
        " minimum of interleaved runs",
        fontsize=8.5,
    )
    return figure
