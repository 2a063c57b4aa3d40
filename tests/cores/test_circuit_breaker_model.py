"""The breaker against the simplest model, with overlapping calls and a clock that jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from cores.circuit_breaker import CircuitBreaker
from cores.errors import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Generator

THRESHOLD = 2
RECOVERY = 30.0
PROBES = 2


class DownError(Exception):
    pass


class ExcludedError(Exception):
    pass


class Pause:
    """An awaitable that hands control back once, and then raises what it is sent."""

    def __await__(self) -> Generator[None, BaseException | None, None]:
        error = yield
        if error is not None:
            raise error


async def remote() -> str:
    await Pause()
    return "done"


class Model:
    """State, failures in a row, when the present wait began, calls under way by epoch."""

    def __init__(self) -> None:
        self.state = "closed"
        self.failures = 0
        self.since = 0.0
        self.epoch = 0
        self.probes = 0

    def change(self, state: str) -> None:
        self.state = state
        self.epoch += 1

    def admits(self, now: float) -> bool:
        if self.state == "closed":
            return True
        self.since = min(self.since, now)
        if now - self.since >= RECOVERY:
            self.change("half_open")
            self.since = now
            self.probes = 0
        if self.state == "half_open" and self.probes < PROBES:
            self.probes += 1
            return True
        return False

    def end(self, epoch: int, outcome: str, now: float) -> None:
        if epoch != self.epoch or self.state == "open":
            return
        half_open = self.state == "half_open"
        if outcome == "success":
            self.failures = 0
            if half_open:
                self.change("closed")
        elif outcome == "failure":
            self.failures += 1
            if half_open or self.failures >= THRESHOLD:
                self.change("open")
                self.since = now
        elif half_open:
            self.probes -= 1


ERRORS: dict[str, type[BaseException] | None] = {
    "success": None,
    "failure": DownError,
    "excluded": ExcludedError,
    "interrupt": KeyboardInterrupt,
}


class Machine(RuleBasedStateMachine):
    calls: Bundle[tuple[Any, int]] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1e9
        self.model = Model()
        self.breaker = CircuitBreaker(
            failure_threshold=THRESHOLD,
            recovery=RECOVERY,
            half_open_max=PROBES,
            excluded=(ExcludedError,),
            clock=lambda: self.now,
        )
        self.open_calls: list[Any] = []

    def start(self) -> Any:
        if self.model.admits(self.now):
            coroutine = self.breaker.call("home", remote)
            coroutine.send(None)
            self.open_calls.append(coroutine)
            return coroutine
        with pytest.raises(CircuitOpenError) as caught:
            self.breaker.call("home", remote)
        assert caught.value.retry_after == pytest.approx(RECOVERY - (self.now - self.model.since))
        assert 0 < caught.value.retry_after <= RECOVERY
        return None

    def finish(self, coroutine: Any, epoch: int, outcome: str) -> None:
        error = ERRORS[outcome]
        with pytest.raises(StopIteration if error is None else error):
            coroutine.send(None if error is None else error())
        self.model.end(epoch, outcome, self.now)

    @rule(target=calls)
    def begin(self) -> tuple[Any, int]:
        return self.start(), self.model.epoch

    @rule(call=consumes(calls), outcome=st.sampled_from(sorted(ERRORS)))
    def end(self, call: tuple[Any, int], outcome: str) -> None:
        if call[0] is not None:
            self.finish(*call, outcome)

    @rule(outcome=st.sampled_from(sorted(ERRORS)))
    def call_at_once(self, outcome: str) -> None:
        self.end((self.start(), self.model.epoch), outcome)

    @rule()
    def fail_in_a_row(self) -> None:
        for _ in range(THRESHOLD):
            self.call_at_once("failure")

    @rule(seconds=st.sampled_from([RECOVERY, RECOVERY / 2, 1e6, -1.0, -RECOVERY, -1e6]))
    def jump(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    @precondition(lambda self: self.model.state != "closed")
    def reset(self) -> None:
        self.breaker.reset("home")
        epoch = self.model.epoch
        self.model = Model()
        self.model.epoch = epoch + 1

    @invariant()
    def state_agrees(self) -> None:
        model = self.model
        is_over = model.state == "open" and self.now - model.since >= RECOVERY
        assert self.breaker.state("home") == ("half_open" if is_over else model.state)

    def teardown(self) -> None:
        for coroutine in self.open_calls:
            coroutine.close()


TestCircuitBreaker = Machine.TestCase
TestCircuitBreaker.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_model_agrees_on_the_whole_life_of_a_breaker() -> None:
    machine = Machine()
    machine.fail_in_a_row()
    machine.call_at_once("success")  # refused
    for outcome in ("excluded", "failure", "interrupt", "success"):
        machine.jump(RECOVERY)
        probes = [(machine.start(), machine.model.epoch) for _ in range(PROBES + 1)]
        for probe in probes:
            machine.end(probe, outcome)
            machine.state_agrees()
    machine.fail_in_a_row()
    machine.jump(-RECOVERY)
    machine.reset()
    machine.state_agrees()
    machine.teardown()
