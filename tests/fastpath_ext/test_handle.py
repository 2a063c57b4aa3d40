"""Handles and the string door by themselves, with an owner made for the test."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import pickle
import random
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import fastpath_ext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if not fastpath_ext.COMPILED:
    pytest.skip(f"no handles: {fastpath_ext.reason}", allow_module_level=True)

Handle = fastpath_ext.Handle


def public(key: object, default: object = None, *, size: int = 0) -> object:
    """Do something in public."""
    return "public", key, default, size


def same(*args: object, **kwargs: object) -> object:
    return args, kwargs


class Owner:
    """Gives each handle what the test wants, and counts how often it is asked."""

    def __init__(self, target: Any = same, hollow: Any = None) -> None:
        self.target = target
        self.asked = 0
        self.fast_path = SimpleNamespace(hollow=hollow or self.unknown)

    def target_of(self, function: object) -> Any:
        self.asked += 1
        if isinstance(self.target, Exception):
            raise self.target
        return self.target

    def unknown(self, function: object) -> Any:
        raise LookupError(function)


# ---- binding


def test_first_call_asks_once_and_later_calls_do_not() -> None:
    owner = Owner()
    handle = Handle(public, owner)
    assert (handle.bound, handle.calls, owner.asked) == (None, 0, 0)
    assert handle(1, default=2) == ((1,), {"default": 2})
    assert handle(key=1) == ((), {"key": 1})
    assert (handle.bound, handle.calls, owner.asked) == (same, 2, 1)


def test_a_failed_bind_reaches_the_caller_and_the_next_call_tries_again() -> None:
    owner = Owner(ImportError("not yet"))
    handle = Handle(public, owner)
    for asked in (1, 2):
        with pytest.raises(ImportError, match=r"^not yet$") as caught:
            handle(1)
        assert caught.traceback[-1].name == "target_of"
        assert (handle.bound, handle.calls, owner.asked) == (None, asked, asked)
    owner.target = same
    assert handle(1) == ((1,), {})
    assert (handle.calls, owner.asked) == (3, 3)


def test_unbinding_asks_again_and_counts_from_0() -> None:
    owner = Owner()
    handle = Handle(public, owner)
    handle()
    handle.bind(None)
    assert (handle.bound, handle.calls) == (None, 0)
    owner.target = dict
    assert handle(a=1) == {"a": 1}
    assert (handle.calls, owner.asked) == (1, 2)


def test_binding_needs_no_owner() -> None:
    owner = Owner(LookupError())
    handle = Handle(public, owner)
    handle.bind(len)
    assert handle("abc") == 3
    assert (handle.bound, owner.asked) == (len, 0)


def test_a_target_that_comes_too_late_is_called_and_not_kept() -> None:
    class Late(Owner):
        def target_of(self, function: object) -> Any:
            handle.bind(None)  # as when the gateway is reset meanwhile
            return super().target_of(function)

    owner = Late()
    handle = Handle(public, owner)
    assert handle(1) == ((1,), {})
    assert handle.bound is None


def test_a_target_that_is_bound_meanwhile_stays() -> None:
    class Slow(Owner):
        def target_of(self, function: object) -> Any:
            handle.bind(len)  # as when another thread registers one
            return super().target_of(function)

    handle = Handle(public, Slow())
    assert handle("abc") == (("abc",), {})
    assert handle.bound is len
    assert handle("abc") == 3


def test_a_handle_is_bound_to_no_handle() -> None:
    other = Handle(public, Owner())
    handle = Handle(public, Owner(other))
    message = r"^a handle cannot be bound to a handle: pass its __wrapped__$"
    with pytest.raises(TypeError, match=message):
        handle.bind(other)
    with pytest.raises(TypeError, match=message):
        handle()
    assert handle.bound is None


def test_a_target_that_comes_back_ends_at_the_recursion_limit() -> None:
    handle = Handle(public, Owner())
    handle.bind(functools.partial(handle))
    with pytest.raises(RecursionError):
        handle()


def test_a_class_whose_call_changes_is_called_as_it_is() -> None:
    class Target:
        def __call__(self) -> str:
            return "first"

    handle = Handle(public, Owner())
    handle.bind(Target())
    assert handle() == "first"
    Target.__call__ = lambda self: "second"
    assert handle() == "second"


def test_a_target_lives_as_long_as_its_call() -> None:
    class Target:
        def __init__(self) -> None:
            self.word = "still here"

        def __call__(self) -> str:
            handle.bind(None)
            gc.collect()
            return self.word

    handle = Handle(public, Owner())
    handle.bind(Target())
    assert handle() == "still here"
    assert handle.bound is None


@pytest.mark.parametrize(
    "target",
    [len, "".join, same, Owner(same).unknown.__func__, type("C", (), {"__call__": same})(), dict],
)
def test_any_callable_is_a_target(target: Callable[..., Any]) -> None:
    handle = Handle(public, Owner(target))
    for call in ((("a", "b"),), (), ("abc",)):
        outcomes = []
        for function in (target, handle):
            try:
                outcomes.append(repr(function(*call)))
            except Exception as error:  # noqa: BLE001  whatever the target raises
                outcomes.append(f"{type(error).__name__}: {error}")
        assert outcomes[0] == outcomes[1]


def test_what_is_not_callable_is_the_callers_error() -> None:
    handle = Handle(public, Owner(7))
    for _ in range(2):  # once when it is bound, once when it has been
        with pytest.raises(TypeError, match=r"^'int' object is not callable$"):
            handle()


# ---- on and off


def test_off_means_the_function_itself() -> None:
    handle = Handle(public, Owner())
    handle.turn(False)
    assert handle(1) == ("public", 1, None, 0)
    handle.turn(True)
    assert handle(1) == ((1,), {})
    handle.turn(False)
    assert handle(key=2, size=3) == ("public", 2, None, 3)
    assert handle.bound is same
    assert handle.calls == 3
    handle.bind(None)
    assert handle(1) == ("public", 1, None, 0)


# ---- errors


def hollow(key: object, default: object = None, *, size: int = 0) -> None:
    """Has the arguments of public."""


def strict(key: object) -> object:
    if key == "raise":
        msg = "from within"
        raise TypeError(msg)
    return {}[key]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "hollow() missing 1 required positional argument: 'key'"),
        ((1, 2, 3), {}, "hollow() takes from 1 to 2 positional arguments but 3 were given"),
        ((1,), {"other": 2}, "hollow() got an unexpected keyword argument 'other'"),
        (("raise",), {}, "from within"),
    ],
)
def test_arguments_that_do_not_fit_are_explained(
    args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    handle = Handle(public, Owner(strict, lambda _: hollow))
    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            handle(*args, **kwargs)
        assert str(caught.value) == message
        assert caught.value.__context__ is None


def test_other_errors_are_the_targets() -> None:
    handle = Handle(public, Owner(strict, lambda _: pytest.fail("nobody need explain")))
    with pytest.raises(KeyError, match=r"^1$"):
        handle(1)


@pytest.mark.parametrize("fast_path", [None, SimpleNamespace(), SimpleNamespace(hollow=len)])
def test_an_error_that_nobody_can_explain_stays(fast_path: object) -> None:
    owner = Owner(strict)
    owner.fast_path = fast_path
    handle = Handle(public, owner)
    with pytest.raises(TypeError, match=r"^strict\(\) missing 1 required positional argument"):
        handle()


def interrupt(*_: object) -> Any:
    raise KeyboardInterrupt


def test_an_interruption_is_not_lost() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    for explanation in (interrupt, lambda _: interrupted):
        handle = Handle(public, Owner(strict, explanation))
        with pytest.raises(KeyboardInterrupt):
            handle()


def test_only_a_type_error_explains_a_type_error() -> None:
    def failing() -> None:
        raise LookupError

    handle = Handle(public, Owner(strict, lambda _: failing))
    with pytest.raises(TypeError, match=r"^strict\(\) missing 1 required positional argument"):
        handle()


@pytest.mark.parametrize("arguments", [(), (public,), (public, 1, {}, 2)])
def test_a_handle_is_made_of_a_function_and_an_owner(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        Handle(*arguments)


# ---- what it looks like; tests/contracts compares it with a function in full


def test_what_is_not_its_own_is_the_functions() -> None:
    handle = Handle(public, Owner())
    assert handle.__wrapped__ is public
    assert handle.__code__ is public.__code__
    assert repr(handle) == f"<handle of {public!r}>"
    assert handle.__class__ is type(public)
    assert dir(handle) == dir(public)
    with pytest.raises(AttributeError, match=r"^'function' object has no attribute 'nothing'$"):
        _ = handle.nothing
    handle.note = 1
    assert public.note == handle.note == 1
    del handle.note
    assert not hasattr(public, "note")


def test_it_is_copied_and_pickled_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Handle(public, Owner())
    module = SimpleNamespace(public=handle)
    monkeypatch.setitem(sys.modules, public.__module__, module)
    assert copy.copy(handle) is copy.deepcopy(handle) is handle
    assert pickle.loads(pickle.dumps(handle)) is handle


def test_it_is_a_method_in_a_class() -> None:
    class Box:
        method = Handle(public, Owner())

    box = Box()
    assert box.method(1) == ((box, 1), {})
    assert Box.method(2) == ((2,), {})


def test_it_cannot_be_a_base_class() -> None:
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Sub", (Handle,), {})


# ---- memory


class Untracked:
    """Tells when it ends. A weak reference would be dead while its object leaks."""

    on_end: Callable[[], None]

    def __call__(self) -> None: ...

    def __del__(self) -> None:
        self.on_end()


def test_a_cycle_through_it_is_collected() -> None:
    owner = Owner()
    routes: dict[str, Any] = {}
    handle = Handle(public, owner)
    door = Handle(public, owner, routes)
    routes["cache"] = {"get": handle}
    owner.target = functools.partial(list, [owner, handle, door])
    handle()
    door("cache", "get")
    watched = Untracked()  # in the handle's function, which only the handle knows
    freed: list[object] = []
    watched.on_end = functools.partial(freed.append, "freed")
    handle = Handle(watched, owner)
    routes["logging"] = {"info": handle}
    del owner, handle, door, routes, watched
    gc.collect()
    assert freed == ["freed"]


# ---- the door


@pytest.fixture
def routes() -> dict[str, Any]:
    return {}


@pytest.fixture
def door(routes: dict[str, Any]) -> Any:
    def execute(interface: str, operation: str, /, **kwargs: object) -> object:
        return "no route", interface, operation, kwargs

    return Handle(execute, Owner(LookupError()), routes)


def test_door_passes_keywords_to_the_operation(door: Any, routes: dict[str, Any]) -> None:
    handle = Handle(public, Owner())
    routes["cache"] = {"get": handle}
    for _ in range(3):
        assert door("cache", "get", key=1, operation=2, interface=3) == (
            (),
            {"key": 1, "operation": 2, "interface": 3},
        )
        assert door("cache", "get") == ((), {})
    assert handle.calls == 6


class Text(str):
    __slots__ = ()


def test_door_keeps_no_name_that_does_not_come_again(door: Any, routes: dict[str, Any]) -> None:
    routes["cache"] = {"get": Handle(public, Owner())}
    name = Text("cache")
    before = sys.getrefcount(name)
    for _ in range(3):
        assert door(name, "get") == ((), {})
    assert sys.getrefcount(name) == before


def test_door_lets_an_interruption_through(door: Any, routes: dict[str, Any]) -> None:
    class Interrupting(str):
        __slots__ = ()
        __hash__ = interrupt

    routes["cache"] = {"get": Handle(public, Owner())}
    with pytest.raises(KeyboardInterrupt):
        door(Interrupting("cache"), "get")
    with pytest.raises(KeyboardInterrupt):
        door("cache", Interrupting("get"))


def test_door_knows_equal_names(door: Any, routes: dict[str, Any]) -> None:
    routes["cache"] = {"get": Handle(public, Owner())}
    for interface in ("cache", "cac" + "he"[:2].lower(), Text("cache")):
        for operation in ("get", "".join("get"), Text("get")):
            for _ in range(2):
                assert door(interface, operation, a=1) == ((), {"a": 1})


@pytest.mark.parametrize(
    ("interface", "operation"),
    [("cache", "got"), ("cash", "get"), ([], "get"), ("cache", []), (None, None), (1, 2)],
)
def test_what_has_no_route_goes_to_the_function(
    door: Any, routes: dict[str, Any], interface: Any, operation: Any
) -> None:
    routes["cache"] = {"get": Handle(public, Owner())}
    assert door(interface, operation, a=1) == ("no route", interface, operation, {"a": 1})


def test_a_table_of_something_else_has_no_routes(door: Any, routes: dict[str, Any]) -> None:
    routes["cache"] = "get"
    assert door("cache", "get") == ("no route", "cache", "get", {})


def test_wrong_calls_of_the_door_are_the_functions_errors(door: Any) -> None:
    for arguments in ((), ("cache",), ("cache", "get", "key")):
        with pytest.raises(TypeError, match=r"execute\(\) (missing|takes)"):
            door(*arguments)
    with pytest.raises(TypeError, match=r"execute\(\) missing"):
        door(interface="cache", operation="get")


def test_a_new_route_is_taken_after_the_door_forgets(door: Any, routes: dict[str, Any]) -> None:
    for number in range(3):
        handle = Handle(public, Owner())
        handle.bind(lambda number=number: number)
        routes.setdefault("cache", {})["get"] = handle
        door.bind(None)
        assert door("cache", "get") == door("cache", "get") == number


def test_a_door_that_is_off_asks_the_function(door: Any, routes: dict[str, Any]) -> None:
    routes["cache"] = {"get": Handle(public, Owner())}
    door.turn(False)
    assert door("cache", "get") == ("no route", "cache", "get", {})
    door.turn(True)
    assert door("cache", "get") == ((), {})


def test_many_names_share_the_lines(door: Any, routes: dict[str, Any]) -> None:
    names = [sys.intern(f"operation_{number}") for number in range(300)]
    for interface in ("a", "b"):
        routes[interface] = {}
        for name in names:
            handle = Handle(public, Owner())
            handle.bind(lambda pair=(interface, name): pair)
            routes[interface][name] = handle
    rng = random.Random(1)
    for _ in range(5000):
        interface, name = rng.choice("ab"), rng.choice(names)
        assert door(interface, name) == (interface, name)


def test_the_callers_tuple_is_left_alone(door: Any, routes: dict[str, Any]) -> None:
    # A bound method may borrow the place before its arguments: here that is the caller's tuple.
    class Core:
        def operation(self) -> tuple[Any, ...]:
            return tuple(map(type, arguments))

    handle = Handle(public, Owner())
    handle.bind(Core().operation)
    routes["cache"] = {"get": handle}
    arguments = ("cache", "get")
    for _ in range(2):
        assert door(*arguments) == (str, str)


def test_names_whose_own_code_changes_the_routes(door: Any, routes: dict[str, Any]) -> None:
    class Meddler(str):
        __slots__ = ()

        def __hash__(self) -> int:
            routes["cache"] = {"get": Handle(public, Owner())}
            door.bind(None)
            gc.collect()
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            routes.clear()
            door.bind(None)
            return True

    routes["cache"] = {"get": Handle(public, Owner())}
    for _ in range(10):
        assert door(Meddler("cache"), "get") in (((), {}), ("no route", "cache", "get", {}))
        assert door("cache", Meddler("get")) in (((), {}), ("no route", "cache", "get", {}))
        routes["cache"] = {"get": Handle(public, Owner())}


# ---- among threads, and with hostile targets


@pytest.mark.threads
def test_concurrent_first_calls_and_resets() -> None:
    owner = Owner()
    routes: dict[str, Any] = {}
    handle = Handle(same, owner)  # what is called while it is off does the same
    door = Handle(public, owner, routes)
    routes["cache"] = {"get": handle}
    failures: list[object] = []
    start = threading.Barrier(5)

    def call() -> None:
        start.wait()
        for number in range(3000):
            found = handle(number), door("cache", "get", n=1)
            failures.extend([found] * (found != (((number,), {}), ((), {"n": 1}))))

    def meddle() -> None:
        start.wait()
        for number in range(1000):
            handle.bind(None)
            door.bind(None)
            handle.turn(number % 3 == 0)
            handle.turn(True)

    threads = [threading.Thread(target=call) for _ in range(4)]
    threads.append(threading.Thread(target=meddle))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def fuzz(seed: int) -> None:
    """Let targets rebind, switch and reroute while they are called."""
    rng = random.Random(seed)
    owner = Owner()
    ask = owner.target_of

    def target_of(function: object) -> Any:
        if is_hostile and rng.random() < 0.3:
            rng.choice(handles).bind(rng.choice([None, same]))
        return ask(function)

    owner.target_of = target_of
    routes: dict[str, Any] = {"a": {}, "b": {}}
    handles = [Handle(same, owner) for _ in range(4)]
    door = Handle(lambda *args, **kwargs: None, owner, routes)
    depth = 0
    is_hostile = True

    class Target:
        def __call__(self, *args: object, **kwargs: object) -> object:
            nonlocal depth
            depth += 1
            try:
                (act if depth < 4 else int)()
            finally:
                depth -= 1
            if rng.random() < 0.2:
                raise rng.choice([TypeError, KeyError])(*args)
            return args

        def __del__(self) -> None:
            if is_hostile and rng.random() < 0.2:
                rng.choice([*handles, door]).bind(None)

    def act() -> None:
        handle = rng.choice(handles)
        name = rng.choice(["x", "y", sys.intern("xy"), "x" + str(1)])
        actions: list[Callable[[], object]] = [
            *[lambda: handle(rng.random(), k=1)] * 3,
            *[lambda: door(rng.choice("ab"), name, k=1)] * 3,
            lambda: handle.bind(rng.choice([Target(), functools.partial(door, "a", name), None])),
            lambda: handle.bind(rng.choice(handles)),
            lambda: handle.turn(rng.random() < 0.7),
            lambda: door.turn(rng.random() < 0.7),
            lambda: door.bind(None),
            lambda: routes[rng.choice("ab")].update({name: handle}),
            lambda: rng.choice(list(routes.values())).clear(),
            lambda: setattr(owner, "target", rng.choice([same, Target(), LookupError("gone")])),
            lambda: setattr(
                owner.fast_path, "hollow", rng.choice([owner.unknown, lambda _: hollow])
            ),
            lambda: gc.collect(0),
        ]
        with contextlib.suppress(TypeError, LookupError, RecursionError):
            rng.choice(actions)()

    for _ in range(400):
        act()
    is_hostile = False
    for handle in handles:
        handle.turn(True)
        handle.bind(same)
        assert handle(1, k=2) == ((1,), {"k": 2})


@pytest.mark.fuzz
@pytest.mark.usefixtures("only_told_collections")
def test_hostile_targets(seeds: Callable[[int], Iterator[int]]) -> None:
    for seed in seeds(20):
        fuzz(seed)
