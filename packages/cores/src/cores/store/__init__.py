"""The cache engine in plain Python: a bounded store with expiry.

``fastpath_ext.Store`` is the same class, compiled; one contract suite runs on both.
"""

from __future__ import annotations

import sys
import time
from _thread import RLock
from collections import OrderedDict
from math import inf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
    from typing import Any, NoReturn

_MOST_ENTRIES = 2**30
_MOST_BYTES = 2**62
# A reading further behind the latest one than this is a clock that was set back, not a
# thread that was held up between reading the clock and using the reading.
_JITTER_S = 1.0


class Store:
    """A bounded mapping in memory whose entries may expire.

    *max_entries* bounds how many entries there are, *max_bytes* how large they are together.
    An entry's size is the *size* given to ``set``, else what *sizeof(value)* returns, else an
    estimate: ``sys.getsizeof`` of the key and the value, together with everything that str,
    bytes, numbers, lists, tuples and dicts hold, each object once; of other objects only the
    outside. Without *max_bytes* nothing is measured.
    An entry larger than *max_bytes* is evicted at once and pushes nothing else out.

    *default_ttl* is the lifetime in seconds of entries stored without one; None is for ever.
    Time is wall time, so entries also age while the process is frozen; it is exact to some ten
    milliseconds. When the clock is set back, time goes on from the latest reading: nothing that
    has expired comes back, but what had passed since that reading is not counted; steps back of
    less than a second are not noticed. *clock* replaces the system's clock by a callable that
    returns seconds since the epoch.

    *policy* chooses what to evict: ``"lru"`` the least recently used entry, ``"s3fifo"`` what
    S3-FIFO (Yang et al., SOSP 2023) chooses, which keeps popular entries through scans.
    *on_evict(key, value)* is called, after the store has changed, for each entry that left to
    make room; what it raises reaches the caller. It is not called for expired, replaced,
    deleted or cleared entries.

    Safe under threads. Keys, values and callbacks may use the store from within.
    A ``Store`` can be neither copied nor pickled.

    >>> store = Store(max_entries=100, default_ttl=300)
    >>> store["answer"] = 42
    >>> store.get("answer")
    42
    """

    def __init__(
        self,
        max_entries: int = 1024,
        *,
        max_bytes: int | None = None,
        default_ttl: float | None = None,
        policy: str = "lru",
        clock: Callable[[], float] | None = None,
        sizeof: Callable[[Any], int] | None = None,
        on_evict: Callable[[Any, Any], object] | None = None,
    ) -> None:
        _check_bound("max_entries", max_entries, _MOST_ENTRIES)
        if max_bytes is not None:
            _check_bound("max_bytes", max_bytes, _MOST_BYTES)
        elif sizeof is not None:
            msg = "sizeof needs max_bytes: without a bound nothing is measured"
            raise ValueError(msg)
        if default_ttl is not None:
            default_ttl = _lifetime("default_ttl", default_ttl)
        if policy not in {"lru", "s3fifo"}:
            msg = f"policy must be 'lru' or 's3fifo', not {policy!r}"
            raise ValueError(msg)
        for name, option in (("clock", clock), ("sizeof", sizeof), ("on_evict", on_evict)):
            if option is not None and not callable(option):
                msg = f"{name} must be callable or None, not {option!r}"
                raise TypeError(msg)
        self._max_entries = max_entries
        self._max_bytes = inf if max_bytes is None else max_bytes
        self._counts_bytes = max_bytes is not None
        self._default_ttl = default_ttl
        self._policy: Any = _Lru
        if policy == "s3fifo":
            # Few choose it, and its class would cost every cold start a tenth of a per cent.
            from cores.store.s3fifo import S3Fifo

            self._policy = S3Fifo
        self._clock = self._given_clock = time.time if clock is None else clock
        self._sizeof = sizeof
        self._on_evict = on_evict
        # Latest time seen, and how far time is ahead of a clock that was set back.
        self._latest = 0.0
        self._offset = 0.0
        self._hits = self._misses = self._expirations = self._evictions = 0
        # Re-entrant: a destructor may run, and use the store, wherever memory is allocated.
        self._lock = RLock()
        self.clear()

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value stored under *key*, or *default* on a miss.

        A hit returns the object that was stored, and counts as a use of the entry.
        """
        # Without the lock: each step is atomic under the GIL and on free-threaded builds, and
        # may meet an entry that is just being removed.
        entry = self._entries.get(key)
        if entry is None:
            self._misses += 1
            return default
        expires = entry.expires
        if expires is not None:
            now = self._clock()
            if self._latest <= now < expires:
                self._latest = now
            elif self._is_over(entry, now):
                self._forget(key, entry)
                self._misses += 1
                return default
        self._hits += 1
        try:  # noqa: SIM105  contextlib.suppress costs more than the rest of this method
            self._hit(entry)
        except KeyError:
            pass
        return entry.value

    def set(
        self, key: Hashable, value: Any, ttl: float | None = None, *, size: int | None = None
    ) -> None:
        """Store *value* under *key*, evicting others if there is no room.

        *ttl* is the lifetime in seconds, more than 0, or ``math.inf``; None is the store's
        default. *size* is the entry's size in bytes, for stores with *max_bytes*.
        An existing entry is replaced and starts a new lifetime.
        """
        self._insert(key, value, self._expiry(ttl), size)

    def delete(self, key: Hashable) -> bool:
        """Remove the entry under *key* and say whether there was a living one."""
        with self._lock:
            return self._take(key) is not None

    def clear(self) -> None:
        """Remove all entries. The statistics go on."""
        entries: dict[Hashable, Entry] = {}
        queue = self._policy()
        hit: Callable[[Entry], None] = queue.hit
        if not _has_gil():
            hit = _under_lock(self._lock, hit)
        with self._lock:
            gone = getattr(self, "_entries", None), getattr(self, "_queue", None)
            self._entries, self._queue, self._hit, self._bytes = entries, queue, hit, 0
        # Destructors run here, outside the lock.
        del gone

    def contains(self, key: Hashable) -> bool:
        """Say whether there is a living entry under *key*, without counting as a use."""
        entry = self._entries.get(key)
        return entry is not None and not self._has_expired(entry)

    def get_many(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        """Return a dict of those *keys* that hit, in their order.

        Other threads may change the store between two of the keys.
        """
        found: dict[Any, Any] = {}
        for key in list(keys):
            value = self.get(key, found)
            if value is not found:
                found[key] = value
        return found

    def set_many(self, items: Mapping[Any, Any], ttl: float | None = None) -> None:
        """Store each pair of the mapping *items*, all with the lifetime *ttl*.

        Other threads may change the store between two of the pairs.
        """
        expires = self._expiry(ttl)
        for key in list(items.keys()):
            self._insert(key, items[key], expires, None)

    def touch(self, key: Hashable, ttl: float | None = None) -> bool:
        """Start a new lifetime for the entry under *key* and say whether there was one.

        *ttl* is as in ``set``. Counts as a use of the entry, not as a hit or miss.
        """
        expires = self._expiry(ttl)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return False
            if self._has_expired(entry):
                self._expirations += 1
                self._remove(key)
                return False
            entry.expires = expires
            self._use(entry)
            return True

    def pop(self, key: Hashable, default: Any = None) -> Any:
        """Remove the entry under *key* and return its value, or *default* on a miss."""
        with self._lock:
            entry = self._take(key)
            if entry is None:
                self._misses += 1
                return default
            self._hits += 1
            return entry.value

    def items(self) -> list[tuple[Any, Any]]:
        """Return the living entries as a list of pairs, without counting as a use.

        With the policy ``"lru"`` the least recently used entry comes first.
        """
        with self._lock:
            mortals = [entry for entry in self._queue.in_order() if entry.expires is not None]
            now = self._time(self._clock()) if mortals else 0.0
            return [
                (entry.key, entry.value)
                for entry in self._queue.in_order()
                if (expires := entry.expires) is None or now < expires
            ]

    def resize(self, max_entries: int | None = None, *, max_bytes: int | None = None) -> None:
        """Change the bounds, evicting what no longer fits. None leaves a bound as it is.

        *max_bytes* can be changed only in a store that was made with one.
        """
        if max_entries is not None:
            _check_bound("max_entries", max_entries, _MOST_ENTRIES)
        if max_bytes is not None:
            _check_bound("max_bytes", max_bytes, _MOST_BYTES)
            if not self._counts_bytes:
                msg = "max_bytes cannot be added: make a new Store with max_bytes"
                raise ValueError(msg)
        gone: list[Entry] = []
        with self._lock:
            if max_entries is not None:
                self._max_entries = max_entries
            if max_bytes is not None:
                self._max_bytes = max_bytes
            self._make_room(0, 0, gone)
        self._announce(gone)

    def stats(self) -> dict[str, int]:
        """Return how many entries and bytes there are, and what has happened so far.

        The keys are entries, bytes, hits, misses, expirations and evictions. Entries that have
        expired are counted until they are met; bytes is 0 without *max_bytes*.
        """
        return {
            "entries": len(self._entries),
            "bytes": self._bytes,
            "hits": self._hits,
            "misses": self._misses,
            "expirations": self._expirations,
            "evictions": self._evictions,
        }

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return self.contains(key)

    def __iter__(self) -> Iterator[Any]:
        return iter([key for key, _ in self.items()])

    def __getitem__(self, key: Hashable) -> Any:
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self._insert(key, value, self._expiry(None), None)

    def __delitem__(self, key: Hashable) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __reduce__(self) -> NoReturn:
        msg = "a Store can be neither copied nor pickled; take what items() returns"
        raise TypeError(msg)

    def _insert(self, key: Hashable, value: Any, expires: float | None, size: int | None) -> None:
        if size is not None or self._counts_bytes:
            size = self._measure(key, value, size)
        gone: list[Entry] = []
        # What is replaced lives until the lock is free, like everything that leaves.
        replaced: list[object] = []
        with self._lock:
            self._place(key, value, expires, size or 0, gone=gone, replaced=replaced)
        del replaced
        if gone:
            self._announce(gone)

    def _place(
        self,
        key: Hashable,
        value: Any,
        expires: float | None,
        size: int,
        *,
        gone: list[Entry],
        replaced: list[object],
    ) -> None:
        while True:
            entries = self._entries
            entry = entries.get(key)
            if size > self._max_bytes:
                gone.append(Entry(key, value, expires, hash(key)))
                self._evictions += 1
                replaced.append(self._remove(key))
                return
            if entry is None:
                new = Entry(key, value, expires, hash(key))
                self._make_room(1, size, gone)
                if self._add(new, size, entries):
                    # Once more: while keys are compared, their own code may add entries.
                    self._make_room(0, 0, gone)
                    return
            elif self._bytes - entry.size + size > self._max_bytes:
                # It enters anew, so as not to be evicted for its own sake.
                replaced.append(self._remove(key))
            else:
                self._use(entry)
                replaced.append(entry.value)
                if entry.dead or self._entries is not entries:
                    continue
                self._bytes += size - entry.size
                entry.size = size
                # In this order: get reads them without the lock, the other way round.
                entry.value = value
                entry.expires = expires
                return

    def _add(self, new: Entry, size: int, entries: dict[Hashable, Entry]) -> bool:
        """Add an entry unless its key has got one, which the key's own code may bring about."""
        if entries.setdefault(new.key, new) is not new:
            return False
        queue = self._queue
        try:
            queue.add(new)
        except MemoryError:
            self._remove(new.key)
            raise
        # Meanwhile a destructor may have removed it again.
        if new.dead or self._entries is not entries:
            queue.discard(new)
        else:
            self._bytes += size - new.size
            new.size = size
        return True

    def _make_room(self, entries: int, size: int, gone: list[Entry]) -> None:
        while (
            len(self._entries) + entries > self._max_entries or self._bytes + size > self._max_bytes
        ):
            victim = self._queue.victim(len(self._entries))
            if victim is None:
                return
            entry = self._remove(victim.key)
            if entry is not victim:  # its key no longer leads to it
                self._queue.discard(victim)
            if entry is not None:
                self._evictions += 1
                gone.append(entry)

    def _use(self, entry: Entry) -> None:
        try:  # noqa: SIM105  contextlib.suppress costs more than the rest
            self._queue.hit(entry)
        except KeyError:  # it is just being added or removed
            pass

    def _take(self, key: Hashable) -> Entry | None:
        """Remove the entry under *key* and return it if it was alive."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        has_expired = self._has_expired(entry)
        removed = self._remove(key)
        if has_expired:
            self._expirations += 1
            return None
        return removed

    def _remove(self, key: Hashable) -> Entry | None:
        entries = self._entries
        entry = entries.pop(key, None)
        # A key's own code may clear the store while keys are compared.
        if entry is None or self._entries is not entries:
            return None
        entry.dead = True
        self._bytes -= entry.size
        self._queue.discard(entry)
        return entry

    def _forget(self, key: Hashable, entry: Entry) -> None:
        """Remove *entry*, which was seen to have expired, unless it was replaced since."""
        with self._lock:
            if self._entries.get(key) is entry and self._has_expired(entry):
                self._expirations += 1
                self._remove(key)

    def _has_expired(self, entry: Entry) -> bool:
        return entry.expires is not None and self._is_over(entry, self._clock())

    def _is_over(self, entry: Entry, now: float) -> bool:
        now = self._time(now)
        expires = entry.expires  # only now: it may have been replaced meanwhile
        return expires is not None and now >= expires

    def _announce(self, gone: list[Entry]) -> None:
        on_evict = self._on_evict  # which its own code may replace
        if on_evict is not None:
            for entry in gone:
                on_evict(entry.key, entry.value)

    def _measure(self, key: Hashable, value: Any, size: int | None) -> int:
        name = "size"
        if size is None:
            if self._sizeof is None:
                return _estimate(key, value)
            name, size = "sizeof(value)", self._sizeof(value)
        if type(size) is bool or not isinstance(size, int):
            msg = f"{name} must be an int of at least 0, not {size!r}"
            raise TypeError(msg)
        if size < 0:
            msg = f"{name} must be an int of at least 0, not {size!r}"
            raise ValueError(msg)
        return size if self._counts_bytes else 0

    def _expiry(self, ttl: float | None) -> float | None:
        ttl = self._default_ttl if ttl is None else _lifetime("ttl", ttl)
        return None if ttl is None or ttl == inf else self._time(self._clock()) + ttl

    def _time(self, reading: float) -> float:
        """Return the time, given what the clock says."""
        if not self._latest <= reading < inf:
            if not -inf < reading < inf:
                msg = f"clock must return a finite number of seconds, not {reading!r}"
                raise ValueError(msg)
            if reading < self._latest - _JITTER_S:
                self._set_forward()
            return self._latest
        self._latest = reading
        return reading

    def _set_forward(self) -> None:
        """Make up for a clock that was set back. It costs a hit nothing as long as none was."""
        with self._lock:
            behind = self._latest - self._clock()  # once more: another thread may have been here
            if behind > _JITTER_S:
                self._offset += behind
                clock, offset = self._given_clock, self._offset
                self._clock = lambda: clock() + offset


class Entry:
    """One entry, as the eviction policies know it."""

    __slots__ = ("dead", "expires", "hash", "is_main", "key", "size", "value", "was_used")

    def __init__(self, key: Hashable, value: Any, expires: float | None, hash_: int) -> None:
        self.key = key
        self.value = value
        self.expires = expires
        self.size = 0
        self.hash = hash_
        self.dead = False
        self.is_main = False
        self.was_used = False


class _Lru(OrderedDict):  # type: ignore[type-arg]  # a generic base costs at import
    """The entries, least recently used first."""

    __slots__ = ()

    hit = OrderedDict.move_to_end

    def add(self, entry: Entry) -> None:
        self[entry] = None

    def discard(self, entry: Entry) -> None:
        self.pop(entry, None)

    def victim(self, _: int) -> Entry | None:
        while True:
            try:
                return next(iter(self), None)
            except RuntimeError:  # a hit of another thread, which takes no lock, came in between
                continue

    def in_order(self) -> list[Entry]:
        return list(self)


_MISSING = object()


def _under_lock(lock: RLock, hit: Callable[[Entry], None]) -> Callable[[Entry], None]:
    """Return *hit* with the lock around it. As a method it would make the store hold itself."""

    def hit_locked(entry: Entry) -> None:
        with lock:
            hit(entry)

    return hit_locked


def _has_gil() -> bool:
    check = getattr(sys, "_is_gil_enabled", None)
    return check is None or bool(check())


def _check_bound(name: str, bound: object, most: int) -> None:
    if type(bound) is bool or not isinstance(bound, int):
        msg = f"{name} must be an int from 1 to {most}, not {bound!r}"
        raise TypeError(msg)
    if not 1 <= bound <= most:
        msg = f"{name} must be an int from 1 to {most}, not {bound!r}"
        raise ValueError(msg)


def _lifetime(name: str, ttl: object) -> float:
    msg = "{} must be a number of seconds above 0, math.inf or None, not {!r}"
    if type(ttl) is bool or not isinstance(ttl, int | float):
        raise TypeError(msg.format(name, ttl))
    try:
        seconds = float(ttl)
    except OverflowError:
        seconds = inf if ttl > 0 else -inf
    if not seconds > 0:
        raise ValueError(msg.format(name, ttl))
    return seconds


def _estimate(key: object, value: object) -> int:
    """Return the bytes of *key* and *value* with what they hold, each object once."""
    getsizeof = sys.getsizeof
    total = 0
    seen = set()
    stack = [key, value]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        total += getsizeof(item)
        if type(item) is dict:
            stack += item
            stack += item.values()
        elif type(item) is list or type(item) is tuple:
            stack += item
    return total
