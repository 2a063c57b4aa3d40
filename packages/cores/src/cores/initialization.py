"""What runs during INIT, how long it takes, and whether this start is a cold one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from cores.ports import Clock, Current, Log

    Tasks = Mapping[str, Callable[[], object]] | Iterable[tuple[str, Callable[[], object]]]


class Initialization:
    """Runs the tasks of INIT within a time budget and keeps a report of the last 200.

    *timer* measures durations in seconds, *clock* tells wall time. *log* hears of tasks that fail.
    """

    def __init__(
        self,
        *,
        current: Current = SimpleNamespace(invocation=None),  # noqa: B008  never written here
        clock: Clock = time.time,
        timer: Callable[[], float] = time.perf_counter,
        log: Log = SimpleNamespace(warning=lambda _message, **_fields: None),  # noqa: B008
    ) -> None:
        self._current = current
        self._clock = clock
        self._timer = timer
        self._log = log
        self._records: deque[dict[str, Any]] = deque(maxlen=200)

    def is_cold_start(self) -> bool:
        """Tell whether this is INIT or the first invocation of the environment.

        Outside an invocation the answer is True: code that runs there runs during INIT.
        """
        invocation = self._current.invocation
        return invocation is None or invocation.cold_start

    def run(self, tasks: Tasks, *, budget: float = 5.0) -> list[dict[str, Any]]:
        """Run each of *tasks*, a mapping or pairs of name and function, in order.

        No task is begun once *budget* seconds have passed; one that is running is not broken
        off. A task that raises is logged and recorded, never raised, and the others still run.
        Returns the records of this run, as in :meth:`report`. Lambda allows INIT 10 s.
        """
        if not budget > 0:
            msg = f"budget must be more than 0 seconds, not {budget!r}"
            raise ValueError(msg)
        pairs = list(tasks.items() if isinstance(tasks, Mapping) else tasks)
        for name, task in pairs:
            if not isinstance(name, str) or not callable(task):
                msg = f"a task is a name and a function, not {name!r} and {task!r}"
                raise TypeError(msg)
        records = []
        end = self._timer() + budget
        for name, task in pairs:
            began = self._timer()
            if began >= end:
                record = self._record(name, "skipped", 0.0)
            else:
                try:
                    task()
                except Exception as error:  # noqa: BLE001  the function can still be of use
                    self._log.warning("initialization task failed", task=name, exception=error)
                    record = self._record(name, "failed", self._timer() - began)
                    record["error"] = f"{type(error).__name__}: {error}"
                else:
                    record = self._record(name, "done", self._timer() - began)
            records.append(dict(record))
        return records

    def note(self, name: str, seconds: float) -> None:
        """Record that *name* was done in *seconds*, measured by whoever did it."""
        if not seconds >= 0:
            msg = f"seconds must be at least 0, not {seconds!r}"
            raise ValueError(msg)
        self._record(name, "done", seconds)

    def report(self) -> dict[str, Any]:
        """Return ``is_cold_start``, ``seconds`` in all, and ``tasks`` in the order they ran.

        Each task has ``name``, ``status`` ("done", "failed" or "skipped"), ``seconds``, ``at``
        (wall time of the record) and, when it failed, ``error``.
        """
        tasks = [dict(record) for record in list(self._records)]
        return {
            "is_cold_start": self.is_cold_start(),
            "seconds": sum(task["seconds"] for task in tasks),
            "tasks": tasks,
        }

    def _record(self, name: str, status: str, seconds: float) -> dict[str, Any]:
        record = {"name": name, "status": status, "seconds": seconds, "at": self._clock()}
        self._records.append(record)
        return record
