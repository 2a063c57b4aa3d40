from __future__ import annotations

import copy
import pickle
import threading

import pytest

from gateway import _wiring
from gateway._dispatch import is_loaded
from gateway._wiring import Lazy


class Greeter:
    constant = 1

    def __init__(self) -> None:
        self.closed = False

    def greet(self, name: str) -> str:
        return f"hello {name}"

    def close(self) -> None:
        self.closed = True


def test_builds_at_the_first_attribute_and_remembers_methods() -> None:
    built = []

    def build() -> Greeter:
        built.append(Greeter())
        return built[-1]

    stand_in = Lazy("greeter", build)
    assert built == []
    assert repr(stand_in) == "<Lazy greeter, not loaded>"
    assert stand_in.greet("you") == "hello you"
    assert stand_in.greet("all") == "hello all"
    assert len(built) == 1
    assert "greet" in vars(stand_in)
    assert repr(stand_in) == "<Lazy greeter, loaded>"


def test_values_that_are_not_callable_are_read_each_time() -> None:
    stand_in = Lazy("greeter", Greeter)
    assert stand_in.constant == 1
    assert "constant" not in vars(stand_in)


def test_private_names_do_not_build() -> None:
    stand_in = Lazy("greeter", Greeter)
    with pytest.raises(
        AttributeError, match=r"^<Lazy greeter, not loaded> has no attribute '__wrapped__'$"
    ):
        stand_in.__wrapped__  # noqa: B018
    assert not is_loaded(stand_in)


def test_many_threads_build_once() -> None:
    built = []
    entered = threading.Barrier(8)

    def build() -> Greeter:
        built.append(1)
        return Greeter()

    stand_in = Lazy("greeter", build)

    def use() -> None:
        entered.wait()
        assert stand_in.greet("you") == "hello you"

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]


def test_a_failed_build_is_reported_and_tried_again() -> None:
    attempts = []

    def build() -> Greeter:
        attempts.append(1)
        if len(attempts) < 3:
            msg = f"attempt {len(attempts)}"
            raise ImportError(msg)
        return Greeter()

    stand_in = Lazy("greeter", build)
    for attempt in ("attempt 1", "attempt 2"):
        with pytest.raises(ImportError, match=f"^{attempt}$"):
            stand_in.greet("you")
    assert stand_in.greet("you") == "hello you"


def test_a_build_that_needs_itself_is_an_error() -> None:
    stand_in = Lazy("loop", lambda: stand_in.greet("me"))
    with pytest.raises(RuntimeError, match=r"^loop needs itself while it is being built$"):
        stand_in.greet("you")


def test_reset_closes_and_forgets() -> None:
    stand_in = Lazy("greeter", Greeter)
    first = stand_in.greet
    stand_in._reset()
    assert first.__self__.closed
    assert "greet" not in vars(stand_in)
    assert stand_in.greet.__self__ is not first.__self__


def test_a_method_taken_while_reset_runs_is_not_remembered() -> None:
    class Resetting(Greeter):
        @property
        def late(self) -> object:
            stand_in._reset()
            return self.greet

    stand_in = Lazy("greeter", Resetting)
    assert stand_in.late("you") == "hello you"
    assert "late" not in vars(stand_in)


def test_pickles_and_copies_as_itself() -> None:
    assert pickle.loads(pickle.dumps(_wiring.cache)) is _wiring.cache
    assert copy.copy(_wiring.cache) is _wiring.cache
    assert copy.deepcopy(_wiring.cache) is _wiring.cache


def test_preload_builds_and_refuses_unknown_names() -> None:
    _wiring.preload("metrics", "cache")
    assert is_loaded(_wiring.metrics)
    assert is_loaded(_wiring.cache)
    with pytest.raises(ValueError, match=r"^an interface is one of cache, .*, config, not 'cash'$"):
        _wiring.preload("logging", "cash")
    assert not is_loaded(_wiring.logging)
