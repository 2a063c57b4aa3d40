"""One object for each name: once under contention, no deadlock, closed in reverse, fork."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cores.errors import CallerError
from cores.singleton import Singletons

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = 10  # seconds until a test gives up on a thread; never reached


class Closable:
    def __init__(self, name: Any, closed: list[str], error: Any = None) -> None:
        self.name = name
        self.closed = closed
        self.error = error

    def close(self) -> None:
        self.closed.append(self.name)
        if self.error is not None:
            raise self.error


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Run each function in a thread of its own; return what each returned or raised."""
    results = [None] * len(functions)

    def work(index: int) -> None:
        try:
            results[index] = functions[index]()
        except CallerError as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)
    return results


def until_somebody_waits(singletons: Singletons, count: int) -> None:
    """Spin until *count* threads wait for an object."""
    waiting = singletons._state().waiting
    end = time.monotonic() + WAIT
    while len(waiting) < count and time.monotonic() < end:
        os.sched_yield()
    assert len(waiting) == count


def test_an_object_is_made_once() -> None:
    singletons = Singletons()
    made = singletons.get("list", list)
    assert singletons.get("list", list) is made
    assert singletons.has("list")
    assert not singletons.has("dict")


def test_none_is_an_object() -> None:
    calls = []
    singletons = Singletons()
    assert singletons.get("nothing", lambda: calls.append(1)) is None
    assert singletons.get("nothing", lambda: calls.append(1)) is None
    assert calls == [1]


def test_threads_that_come_meanwhile_wait_for_the_one_object() -> None:
    singletons = Singletons()
    calls = []
    began = threading.Event()

    def factory() -> object:
        calls.append(1)
        began.set()
        until_somebody_waits(singletons, 6)
        return object()

    def late() -> object:
        assert began.wait(WAIT)
        return singletons.get("slow", factory)

    first, *others = in_threads(lambda: singletons.get("slow", factory), *[late] * 6)
    assert len(calls) == 1
    assert all(other is first for other in others)


def test_other_names_do_not_wait_for_a_slow_factory() -> None:
    singletons = Singletons()

    def slow() -> object:
        return in_threads(lambda: singletons.get("quick", lambda: "quick"))[0]

    assert singletons.get("slow", slow) == "quick"


def test_a_factory_that_fails_is_tried_again() -> None:
    singletons = Singletons()
    answers = iter([OSError("no route"), "connected"])

    def factory() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(OSError, match=r"^no route$"):
        singletons.get("link", factory)
    assert not singletons.has("link")
    assert singletons.get("link", factory) == "connected"


def test_a_thread_that_waited_for_a_failure_makes_the_object_itself() -> None:
    singletons = Singletons()
    began = threading.Event()

    def fails() -> object:
        began.set()
        until_somebody_waits(singletons, 1)
        msg = "cannot"
        raise CallerError(msg)

    def second() -> object:
        assert began.wait(WAIT)
        return singletons.get("x", lambda: "second")

    results = in_threads(lambda: singletons.get("x", fails), second)
    assert str(results[0]) == "cannot"
    assert results[1] == "second"


def test_a_factory_may_use_other_singletons() -> None:
    singletons = Singletons()
    made = singletons.get("outer", lambda: [singletons.get("inner", dict)])
    assert made == [{}]
    assert list(singletons.stats()["singletons"]) == ["inner", "outer"]


def test_a_circle_of_factories_is_named() -> None:
    singletons = Singletons()
    get = singletons.get

    def a() -> object:
        return get("b", lambda: get("c", lambda: get("b", object)))

    message = "^singletons need each other in a circle: b -> c -> b$"
    with pytest.raises(CallerError, match=message):
        get("a", a)
    assert singletons.stats()["count"] == 0


def test_a_factory_that_needs_itself_is_named() -> None:
    singletons = Singletons()
    message = "^singletons need each other in a circle: a -> a$"
    with pytest.raises(CallerError, match=message):
        singletons.get("a", lambda: singletons.get("a", object))


def test_a_circle_across_two_threads_is_named_instead_of_waiting_for_ever() -> None:
    singletons = Singletons()
    has_a, has_b = threading.Event(), threading.Event()

    def make_a() -> object:
        has_a.set()
        assert has_b.wait(WAIT)
        return singletons.get("inner", lambda: singletons.get("b", lambda: "b"))

    def make_b() -> object:
        has_b.set()
        assert has_a.wait(WAIT)
        return singletons.get("a", lambda: "a")

    results = in_threads(lambda: singletons.get("a", make_a), lambda: singletons.get("b", make_b))
    errors = [str(result) for result in results if isinstance(result, CallerError)]
    prefix = "singletons need each other in a circle: "
    # Whoever came second into the circle got the error; the other one then made what it needed.
    assert len(errors) == 1
    assert errors[0] in (f"{prefix}a -> inner -> b -> a", f"{prefix}b -> a -> inner -> b")


def test_reset_closes_all_in_reverse() -> None:
    closed: list[str] = []
    singletons = Singletons()
    for name in ("first", "second"):
        singletons.get(name, lambda name=name: Closable(name, closed))
    singletons.get("plain", object)
    singletons.reset()
    assert closed == ["second", "first"]
    assert singletons.stats() == {"count": 0, "singletons": {}}


def test_reset_of_one_name_leaves_the_others() -> None:
    closed: list[str] = []
    singletons = Singletons()
    for name in ("first", "second"):
        singletons.get(name, lambda name=name: Closable(name, closed))
    singletons.reset("first")
    singletons.reset("unknown")
    assert closed == ["first"]
    assert singletons.has("second")


def test_all_are_closed_even_when_some_cannot_be() -> None:
    closed: list[str] = []
    singletons = Singletons()
    for name, error in (("a", OSError("a")), ("b", None), ("c", ValueError("c"))):
        singletons.get(name, lambda name=name, error=error: Closable(name, closed, error))
    with pytest.raises(ExceptionGroup) as caught:
        singletons.close()
    assert caught.value.message == "2 of 3 singletons could not be closed"
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('c')", "OSError('a')"]
    assert closed == ["c", "b", "a"]
    assert singletons.stats()["count"] == 0


def test_an_attribute_called_close_that_is_no_method_is_left_alone() -> None:
    singletons = Singletons()
    singletons.get("x", type("Odd", (), {"close": "soon"}))
    singletons.reset()
    assert not singletons.has("x")


def test_stats_tell_type_and_time() -> None:
    singletons = Singletons(clock=lambda: 1000.0)
    singletons.get("settings", dict)
    entry = singletons.stats()["singletons"]["settings"]
    assert entry["type"] == "dict"
    assert entry["made_at"] == 1000.0
    assert entry["seconds"] >= 0


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [
        (3, list, "a singleton's name is text, not 3"),
        (
            "a",
            None,
            "a singleton's factory is a plain function without arguments, not None",
        ),
        (
            "a",
            coroutine,
            f"a singleton's factory is a plain function without arguments, not {coroutine!r}",
        ),
    ],
)
def test_get_refuses(name: Any, factory: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Singletons().get(name, factory)


FORK = """
import os
from cores.singleton import Singletons

closed = []

class Link:
    def close(self):
        closed.append(os.getpid())

singletons = Singletons()
made = singletons.get("link", Link)
child = os.fork()
if child == 0:
    renewed = not singletons.has("link") and singletons.get("link", Link) is not made
    singletons.reset()
    os._exit(0 if renewed and closed == [os.getpid()] else 1)
_, status = os.waitpid(child, 0)
kept = singletons.get("link", Link) is made and closed == []
raise SystemExit(0 if status == 0 and kept else 1)
"""


def test_a_forked_process_makes_its_own_objects_and_leaves_the_parents_open() -> None:
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=60)


class SingletonsAgainstADict(RuleBasedStateMachine):
    """Whatever the order of calls, names and objects are those of a dict."""

    names = st.sampled_from("abc")

    def __init__(self) -> None:
        super().__init__()
        self.singletons = Singletons()
        self.model: dict[str, Any] = {}

    @rule(name=names)
    def get(self, name: Any) -> None:
        value = self.singletons.get(name, object)
        assert self.model.setdefault(name, value) is value

    @rule(name=names)
    def get_with_a_factory_that_fails(self, name: Any) -> None:
        def fails() -> None:
            raise OSError

        if name in self.model:
            assert self.singletons.get(name, fails) is self.model[name]
        else:
            with pytest.raises(OSError, match=r"^$"):
                self.singletons.get(name, fails)

    @rule(name=names)
    def reset_one(self, name: Any) -> None:
        self.singletons.reset(name)
        self.model.pop(name, None)

    @rule()
    def reset_all(self) -> None:
        self.singletons.reset()
        self.model.clear()

    @invariant()
    def names_agree(self) -> None:
        assert list(self.singletons.stats()["singletons"]) == list(self.model)
        assert [name for name in "abc" if self.singletons.has(name)] == sorted(self.model)


TestSingletonsAgainstADict = SingletonsAgainstADict.TestCase
