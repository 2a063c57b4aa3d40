"""Numbers that were promised, and whether what was measured holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Table

JUST_BELOW = 0.999  # a tie is not ahead


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
