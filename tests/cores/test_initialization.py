"""Tasks of INIT within a budget, and the report about them."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cores.initialization import Initialization

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """Seconds that pass only when a task says so."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def task(self, seconds: float, error: Any = None) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds
            if error is not None:
                raise error

        return run


class Log:
    def __init__(self) -> None:
        self.lines = []

    def warning(self, message: str, /, **fields: object) -> None:
        self.lines.append((message, fields))


@pytest.fixture
def timer() -> Timer:
    return Timer()


def make(timer: Timer, **options: Any) -> Initialization:
    return Initialization(clock=lambda: 1000.0, timer=timer, **options)


def test_a_start_is_cold_during_init_and_the_first_invocation() -> None:
    current = SimpleNamespace(invocation=None)
    core = Initialization(current=current)
    assert core.is_cold_start() is True
    current.invocation = SimpleNamespace(cold_start=True)
    assert core.is_cold_start() is True
    current.invocation = SimpleNamespace(cold_start=False)
    assert core.is_cold_start() is False
    assert core.report()["is_cold_start"] is False


def test_tasks_run_in_order_and_are_timed(timer: Timer) -> None:
    core = make(timer)
    records = core.run({"first": timer.task(0.25), "second": timer.task(0.5)})
    assert records == [
        {"name": "first", "status": "done", "seconds": 0.25, "at": 1000.0},
        {"name": "second", "status": "done", "seconds": 0.5, "at": 1000.0},
    ]
    assert core.report() == {"is_cold_start": True, "seconds": 0.75, "tasks": records}


def test_a_task_that_fails_is_recorded_and_logged_and_the_others_run(timer: Timer) -> None:
    log = Log()
    error = OSError("no route")
    core = make(timer, log=log)
    records = core.run([("connect", timer.task(1.0, error)), ("warm", timer.task(0.5))])
    assert [(record["name"], record["status"]) for record in records] == [
        ("connect", "failed"),
        ("warm", "done"),
    ]
    assert records[0]["error"] == "OSError: no route"
    assert records[0]["seconds"] == 1.0
    assert log.lines == [("initialization task failed", {"task": "connect", "exception": error})]


def test_no_task_begins_after_the_budget(timer: Timer) -> None:
    core = make(timer)
    tasks = [("long", timer.task(3.0)), ("late", timer.task(1.0)), ("later", timer.task(1.0))]
    records = core.run(tasks, budget=3.0)
    assert [record["status"] for record in records] == ["done", "skipped", "skipped"]
    assert core.report()["seconds"] == 3.0


def test_what_others_measured_can_be_noted(timer: Timer) -> None:
    core = make(timer)
    core.note("preload", 0.125)
    assert core.report()["tasks"] == [
        {"name": "preload", "status": "done", "seconds": 0.125, "at": 1000.0}
    ]


def test_the_report_is_a_copy_and_bounded(timer: Timer) -> None:
    core = make(timer)
    for number in range(201):
        core.note(f"step {number}", 0)
    core.report()["tasks"][0]["name"] = "changed"
    tasks = core.report()["tasks"]
    assert len(tasks) == 200
    assert tasks[0]["name"] == "step 1"


def test_the_end_of_the_process_is_let_through(timer: Timer) -> None:
    with pytest.raises(SystemExit):
        make(timer).run([("exit", timer.task(0, SystemExit()))])


def test_it_works_without_neighbours() -> None:
    core = Initialization()
    records = core.run([("fails", {}.popitem)])
    assert records[0]["status"] == "failed"


@pytest.mark.parametrize(
    ("tasks", "budget", "error", "message"),
    [
        ([], 0, ValueError, "budget must be more than 0 seconds, not 0"),
        ([], float("nan"), ValueError, "budget must be more than 0 seconds, not nan"),
        ([("a", None)], 1, TypeError, "a task is a name and a function, not 'a' and None"),
        ({3: print}, 1, TypeError, f"a task is a name and a function, not 3 and {print!r}"),
    ],
)
def test_run_refuses(timer: Timer, tasks: Any, budget: float, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make(timer).run(tasks, budget=budget)


def test_nothing_runs_when_one_task_is_no_task(timer: Timer) -> None:
    with pytest.raises(TypeError):
        make(timer).run([("good", timer.task(1.0)), ("bad", "no function")])
    assert timer.now == 50.0


def test_note_refuses_negative_time(timer: Timer) -> None:
    with pytest.raises(ValueError, match=r"^seconds must be at least 0, not -1$"):
        make(timer).note("x", -1)
