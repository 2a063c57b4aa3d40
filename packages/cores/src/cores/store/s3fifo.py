"""The eviction policy S3-FIFO: a module of its own, because most stores are LRU."""

from __future__ import annotations

from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cores.store import Entry


class S3Fifo:
    """Three queues: new entries, those used again, and hashes of what was evicted while new.

    The paper counts up to three uses. One bit follows popularity that drifts at least as well
    as LRU does, which counting does not, and costs less than a point of hit ratio elsewhere.
    """

    __slots__ = ("_bits", "_evicted", "_ghosts", "_main", "_small", "_window")

    def __init__(self) -> None:
        self._small: OrderedDict[Entry, None] = OrderedDict()
        self._main: OrderedDict[Entry, None] = OrderedDict()
        # A table in which a later hash overwrites an earlier one in its place.
        self._ghosts: dict[int, tuple[int, int]] = {}
        self._bits = 0
        self._window = 0
        self._evicted = 0

    def hit(self, entry: Entry) -> None:
        """Note that *entry* was used."""
        entry.was_used = True

    def add(self, entry: Entry) -> None:
        """Add a new entry: among the frequent ones if it was evicted from the new ones lately."""
        tag = _mix(entry.hash)
        ghost = self._ghosts.get(tag >> (32 - self._bits))
        if ghost is not None and ghost[0] == tag and self._evicted - ghost[1] < self._window:
            entry.is_main = True
            self._main[entry] = None
        else:
            self._small[entry] = None

    def discard(self, entry: Entry) -> None:
        """Remove *entry* if it is there."""
        (self._main if entry.is_main else self._small).pop(entry, None)

    def victim(self, count: int) -> Entry | None:
        """Return the entry to evict of *count*, or None when there is none."""
        small, main = self._small, self._main
        while True:
            is_small = len(small) * 10 >= count or not main
            entry = next(iter(small if is_small else main), None)
            if entry is None:
                return None
            if not entry.was_used:
                if is_small:
                    self._remember(_mix(entry.hash), count)
                return entry
            entry.was_used = False
            if is_small:
                main[entry] = None
                entry.is_main = True
                del small[entry]
            else:
                main.move_to_end(entry)
            # Its destructor, should this be the last reference, must not come between the
            # next look at a queue and what is done about it.
            del entry

    def in_order(self) -> list[Entry]:
        """Return all entries, the next to be considered first."""
        return [*self._small, *self._main]

    def _remember(self, tag: int, count: int) -> None:
        self._window = count
        while 1 << self._bits < 2 * count:
            self._bits += 1
            self._ghosts.clear()
        self._evicted += 1
        self._ghosts[tag >> (32 - self._bits)] = tag, self._evicted


def _mix(hash_: int) -> int:
    """Spread a hash over 32 bits: the upper half of a product with the golden ratio."""
    return ((hash_ * 0x9E3779B97F4A7C15) >> 32) & 0xFFFFFFFF
