"""Metrics in CloudWatch's embedded metric format: one log line per invocation, no API call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from json import dumps
from math import inf
from threading import Lock
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cores.ports import Clock, Current, Watch, Write

_SIZES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes")
_BITS = ("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits")
_RATES = (*_SIZES, *_BITS, "Count")
_PLAIN = ("Seconds", "Milliseconds", "Microseconds", "Percent", "None", *_RATES)
UNITS = frozenset((*_PLAIN, *[f"{unit}/Second" for unit in _RATES]))

# The limits of the embedded metric format and of CloudWatch.
MAX_VALUES = 100
MAX_METRICS = 100
MAX_DIMENSIONS = 30
MAX_NAME = 1024
MAX_DIMENSION_NAME = 250
MAX_DIMENSION_VALUE = 1024
MAX_NAMESPACE = 256
_LARGEST = 2.0**360

# A runaway loop writes early instead of growing, and unbounded dimensions stop being kept.
MAX_PENDING = 10_000
MAX_LOCAL = 1_000


class Metrics:
    """Collects values in memory and writes them as one EMF line per set of dimensions.

    CloudWatch bills each *identity* (namespace, name and dimensions) that has data in an hour, and
    ten are free per account: the first ``max_identities`` of this environment are published, the
    next ``MAX_LOCAL`` are only summed up locally and shown by :meth:`status`, and later ones are
    counted as ``ignored``. Values recorded outside an invocation, or in the last moments before its
    deadline, are written at once. Safe under threads.

    Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.
    """

    def __init__(
        self,
        *,
        write: Write = lambda _data: None,
        namespace: str = "thriftgate",
        max_identities: int = 10,
        flush_margin: float = 0.1,
        clock: Clock = time.time,
        timer: Callable[[], float] = time.perf_counter,
        current: Current = SimpleNamespace(invocation=None),  # noqa: B008  never written here
        watch: Watch = SimpleNamespace(start=lambda: None),  # noqa: B008
    ) -> None:
        if max_identities < 0:
            msg = f"max_identities must be at least 0, not {max_identities!r}"
            raise ValueError(msg)
        self._write = write
        self._max_identities = max_identities
        self._flush_margin = flush_margin
        self._clock = clock
        self._timer = timer
        self._current = current
        self._watch = watch
        self._lock = Lock()
        self._namespaces: dict[str, dict[object, _Series]] = {}
        self._published = 0
        self._ignored = 0
        self._pending = 0
        self._lines = 0
        self._lost = 0
        self.use_namespace(namespace)

    def use_namespace(self, namespace: str) -> None:
        """Publish what is recorded from now on under *namespace*."""
        if (
            not isinstance(namespace, str)
            or not 0 < len(namespace) <= MAX_NAMESPACE
            or not all(c.isalnum() or c in "._-#:/" for c in namespace)
            or not namespace.isascii()
        ):
            msg = (
                f"a metric namespace is 1 to {MAX_NAMESPACE} of the characters "
                f"A-Z a-z 0-9 . _ - # : /, not {namespace!r}"
            )
            raise ValueError(msg)
        self._namespace = namespace
        self._series = self._namespaces.setdefault(namespace, {})

    def record(
        self,
        name: str,
        value: float,
        unit: str | None = None,
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        """Record one *value* of the metric *name*.

        *unit* is one of CloudWatch's units; without one it is that of the first call, or ``None``.
        *dimensions* are at most 30 names with text values; every new combination is a metric of
        its own on the bill. A value that is not finite, an unknown unit, or another unit than
        before raises ``ValueError``, and nothing is recorded.
        """
        if type(value) is bool or not isinstance(value, (int, float)):
            msg = f"the value of metric {name!r} must be a number, not {value!r}"
            raise TypeError(msg)
        if not -_LARGEST <= value <= _LARGEST:  # which NaN is not, either
            msg = f"the value of metric {name!r} must be between -2**360 and 2**360, not {value!r}"
            raise ValueError(msg)
        key = name if not dimensions else _key(name, dimensions)
        series = self._series.get(key)
        if series is None:
            series = self._open(key, name, unit, dimensions)
        elif unit is not None and unit != series.unit:
            msg = (
                f"metric {name!r} was recorded in {series.unit} before, not {unit!r}: "
                "one metric has one unit"
            )
            raise ValueError(msg)
        with self._lock:
            series.count += 1
            series.total += value
            # Comparisons, because min() and max() take twice as long here.
            if value < series.minimum:  # noqa: PLR1730
                series.minimum = value
            if value > series.maximum:  # noqa: PLR1730
                series.maximum = value
            if series.is_published:
                series.values.append(value)
                self._pending += 1
        invocation = self._current.invocation
        if (
            invocation is None
            or self._pending >= MAX_PENDING
            or self._clock() >= invocation.deadline - self._flush_margin
        ):
            self.flush()
        else:
            self._watch.start()

    def increment(
        self, name: str, value: float = 1, dimensions: Mapping[str, str] | None = None
    ) -> None:
        """Add *value* to the counter *name*, in unit ``Count``."""
        self.record(name, value, "Count", dimensions)

    @contextmanager
    def duration(self, name: str, dimensions: Mapping[str, str] | None = None) -> Iterator[None]:
        """Record how long a ``with`` block takes, in milliseconds, also when it raises."""
        began = self._timer()
        try:
            yield
        finally:
            took_ms = (self._timer() - began) * 1000
            self.record(name, took_ms, "Milliseconds", dimensions)

    def flush(self) -> None:
        """Write what was recorded as EMF lines. Does nothing when there is nothing."""
        if not self._pending:
            return
        with self._lock:
            lines = self._take()
            try:
                self._write("".join(lines).encode())
                self._lines += len(lines)
            except OSError:
                self._lost += len(lines)

    def forget(self) -> None:
        """Drop what is pending: in a forked child, where the parent will write it."""
        self._lock = Lock()
        self._pending = 0
        for series_by_key in self._namespaces.values():
            for series in series_by_key.values():
                series.values.clear()

    def status(self) -> dict[str, object]:
        """Return identities used and allowed, values pending, lines written, and a local summary.

        The summary maps each metric (name and dimensions) to ``count``, ``sum``, ``min``, ``max``,
        ``unit`` and whether it ``is_published``.
        """
        with self._lock:
            return {
                "namespace": self._namespace,
                "identities": {"published": self._published, "limit": self._max_identities},
                "ignored": self._ignored,
                "pending": self._pending,
                "lines": self._lines,
                "lost": self._lost,
                "summary": {
                    series.label: {
                        "count": series.count,
                        "sum": series.total,
                        "min": series.minimum,
                        "max": series.maximum,
                        "unit": series.unit,
                        "is_published": series.is_published,
                    }
                    for series in self._series.values()
                },
            }

    def _open(
        self, key: object, name: str, unit: str | None, dimensions: Mapping[str, str] | None
    ) -> _Series:
        """Check a metric that is seen for the first time and make its series."""
        _check_name("metric name", name, MAX_NAME)
        unit = "None" if unit is None else unit
        if unit not in UNITS:
            msg = f"unit of metric {name!r} must be one of {', '.join(sorted(UNITS))}, not {unit!r}"
            raise ValueError(msg)
        dimensions = dict(dimensions or {})
        if len(dimensions) > MAX_DIMENSIONS:
            msg = f"metric {name!r} may have {MAX_DIMENSIONS} dimensions, not {len(dimensions)}"
            raise ValueError(msg)
        if name == "_aws" or "_aws" in dimensions:
            msg = "'_aws' is the format's own member; choose another name"
            raise ValueError(msg)
        if name in dimensions:
            msg = f"metric {name!r} has a dimension of the same name; rename one of them"
            raise ValueError(msg)
        with self._lock:
            series = self._series.get(key)  # another thread may have been faster
            if series is None:
                is_published = self._published < self._max_identities
                series = _Series(name, unit, dimensions, is_published=is_published)
                if len(self._series) < self._max_identities + MAX_LOCAL:
                    self._published += is_published
                    self._series[key] = series
                else:
                    self._ignored += 1
            return series

    def _take(self) -> list[str]:
        """Return what is pending as lines, and forget it."""
        timestamp = int(self._clock() * 1000)
        lines = []
        for namespace, series_by_key in self._namespaces.items():
            groups: dict[tuple[tuple[str, str], ...], list[_Series]] = {}
            for series in series_by_key.values():
                groups.setdefault(tuple(series.dimensions.items()), []).append(series)
            for group in groups.values():
                while pending := [series for series in group if series.values]:
                    lines.append(_emf(namespace, timestamp, pending[:MAX_METRICS]))
        self._pending = 0
        return lines


class _Series:
    """One metric identity: its pending values and its local summary."""

    def __init__(
        self, name: str, unit: str, dimensions: dict[str, str], *, is_published: bool
    ) -> None:
        inside = ",".join(f"{key}={value}" for key, value in dimensions.items())
        self.label = f"{name}{{{inside}}}" if inside else name
        self.name = name
        self.unit = unit
        self.dimensions = dimensions
        self.is_published = is_published
        self.values: list[float] = []
        self.count = 0
        self.total = 0.0
        self.minimum = inf
        self.maximum = -inf


def _key(name: str, dimensions: Mapping[str, str]) -> tuple[object, ...]:
    if not isinstance(dimensions, Mapping):
        msg = f"dimensions of metric {name!r} must map names to texts, not {dimensions!r}"
        raise TypeError(msg)
    for dimension, value in dimensions.items():
        _check_name("dimension name", dimension, MAX_DIMENSION_NAME)
        _check_name(f"value of dimension {dimension!r}", value, MAX_DIMENSION_VALUE)
    return (name, *sorted(dimensions.items()))


def _emf(namespace: str, timestamp: int, group: list[_Series]) -> str:
    """Return one EMF line with up to ``MAX_VALUES`` pending values of each series, taking them."""
    dimensions = group[0].dimensions
    document: dict[str, object] = {
        "_aws": {
            "Timestamp": timestamp,
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": [list(dimensions)],
                    "Metrics": [{"Name": s.name, "Unit": s.unit} for s in group],
                }
            ],
        },
        **dimensions,
    }
    for series in group:
        values = series.values[:MAX_VALUES]
        del series.values[:MAX_VALUES]
        document[series.name] = values[0] if len(values) == 1 else values
    return f"{dumps(document, separators=(',', ':'))}\n"


def _check_name(what: str, value: object, longest: int) -> None:
    if not isinstance(value, str):
        msg = f"a {what} must be text, not {value!r}"
        raise TypeError(msg)
    if not 0 < len(value.strip()) <= len(value) <= longest or not value.isprintable():
        msg = f"a {what} is 1 to {longest} printable characters, not {value!r}"
        raise ValueError(msg)
