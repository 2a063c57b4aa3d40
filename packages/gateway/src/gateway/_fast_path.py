"""The compiled path as its users see it: on, off, additions to it, and what was called."""

from __future__ import annotations

import functools
import sys
from types import BuiltinFunctionType, FunctionType

from gateway import _wiring
from gateway._dispatch import FUNCTIONS, is_loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Iterator
    from typing import Any


class FastPath:
    """Switches the handles, adds to them and counts their calls."""

    def __init__(self) -> None:
        self._is_on = _wiring.extension is not None
        self._registered: dict[str, Callable[..., Any]] = {}

    def enable(self) -> dict[str, Any]:
        """Let the handles jump. See ``gateway.enable_fast_path``."""
        return self._turn(on=True)

    def disable(self) -> dict[str, Any]:
        """Let the handles call the functions that they stand in for."""
        return self._turn(on=False)

    def register(
        self, interface: str, operation: str, func: Callable[..., Any], *, replace: bool = False
    ) -> Callable[..., Any]:
        """Put *func* in the place of an operation. See ``gateway.register_fast_path``."""
        if not callable(func):
            msg = f"func must be callable, not {func!r}"
            raise TypeError(msg)
        if _is_handle(func):
            msg = f"{func!r} is a handle and would call itself; wrap what this returns"
            raise TypeError(msg)
        target = _wiring.dispatcher.find(interface, operation)
        path = f"{interface}.{operation}"
        _require_same_calls(path, target, func)
        is_own = not _wiring.dispatcher.is_registered(interface)
        if not replace and (is_own or path in self._registered):
            whose = "a fast path" if path in self._registered else "an implementation of its own"
            msg = f"{path} has {whose}; pass replace=True to put {func!r} in its place"
            raise ValueError(msg)
        previous = self._registered.get(path, target)
        self._registered[path] = func
        self._route(interface, operation).bind(func)
        return previous

    def promote(self, interface: str, operation: str) -> None:
        """Let the string door call an operation without asking the dispatcher."""
        if operation not in _wiring.routes.get(interface, ()):
            self._route(interface, operation)

    def hollow(self, function: object) -> FunctionType:
        """Return a function that takes the same arguments as *function* and does nothing.

        Calling it raises what *function* would raise for arguments that do not fit. Raises
        ``LookupError`` where no public function answers for the arguments.
        """
        function = getattr(function, "__wrapped__", function)
        if type(function) is not FunctionType or self._is_replaced(function):
            raise LookupError
        # All that belongs to the instructions goes with them: a tracer of lines trusts the table.
        body = _nothing.__code__
        code = function.__code__.replace(
            co_code=body.co_code,
            co_consts=body.co_consts,
            co_names=body.co_names,
            co_stacksize=body.co_stacksize,
            co_linetable=body.co_linetable,
            co_exceptiontable=body.co_exceptiontable,
        )
        hollow = FunctionType(code, {}, function.__name__, function.__defaults__)
        hollow.__kwdefaults__ = function.__kwdefaults__
        return hollow

    def explain(self, interface: str, operation: str, kwargs: dict[str, Any]) -> None:
        """Raise the public function's own ``TypeError`` if it does not take *kwargs*."""
        function = _public_function(f"{interface}.{operation}")
        try:
            hollow = self.hollow(function)
        except LookupError:
            return
        try:
            hollow(**kwargs)
        except TypeError as error:
            raise error from None

    def stats(self) -> dict[str, Any]:
        """Return what runs and what was called. See ``gateway.get_fast_path_stats``."""
        operations = {path: self._describe(path, calls) for path, calls in _calls()}
        called = [(path, entry["calls"]) for path, entry in operations.items() if entry["calls"]]
        called.sort(key=lambda item: -item[1])
        return {
            "compiled": _wiring.extension is not None,
            "enabled": self._is_on,
            "reason": self._reason(),
            "abi": _wiring.NEED_ABI,
            "promote_after": _wiring.dispatcher.promote_after,
            "operations": operations,
            "top": called[:10],
        }

    def _turn(self, *, on: bool) -> dict[str, Any]:
        if _wiring.extension is not None:
            self._is_on = on
            for handle in (*_wiring.handles.values(), _wiring.door):
                handle.turn(on)
        return {"enabled": self._is_on, "reason": self._reason()}

    def _reason(self) -> str:
        if _wiring.extension is None:
            return f"{_wiring.reason}; a process that started on the pure path stays there"
        return "" if self._is_on else "disable_fast_path was called"

    def _is_replaced(self, function: FunctionType) -> bool:
        return self._is_on and FUNCTIONS.get(function.__name__) in self._registered

    def _route(self, interface: str, operation: str) -> Any:
        """Return the handle of an operation, to which the string door has a route from now on."""
        if _wiring.extension is None:
            return _Unbound()
        path = f"{interface}.{operation}"
        routes = _wiring.routes.setdefault(str(interface), {})
        handle = _wiring.handles.get(path) or routes.get(operation)
        if handle is None:
            target = _wiring.dispatcher.find(interface, operation)
            handle = _wiring.extension.Handle(_public_function(path) or target, _wiring)
            handle.bind(target)
        routes[operation] = handle
        return handle

    def _describe(self, path: str, calls: int) -> dict[str, Any]:
        interface, _, operation = path.partition(".")
        route = _wiring.routes.get(interface, {}).get(operation)
        handle = _wiring.handles.get(path, route)
        bound = None if handle is None else handle.bound
        return {
            "calls": calls,
            "compiled": isinstance(bound, BuiltinFunctionType),
            "loaded": is_loaded(_wiring.interfaces[interface]),
            "promoted": route is not None,
            "registered": path in self._registered,
        }


def _nothing() -> None: ...


def _calls() -> Iterator[tuple[str, int]]:
    """Return each operation that has a handle or was called by name, and how often it ran."""
    for interface, counted in _wiring.dispatcher.calls().items():
        for operation, calls in counted.items():
            path = f"{interface}.{operation}"
            if calls or path in _wiring.handles:
                yield path, calls


class _Unbound:
    """What stands in for a handle on the pure path, where nothing is bound."""

    def bind(self, target: object) -> None: ...


def _is_handle(func: object) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    return _wiring.extension is not None and type(func) is _wiring.extension.Handle


def _public_function(path: str) -> Any:
    """Return the public function of an operation, or None if it has none."""
    if path in _wiring.handles:
        return _wiring.handles[path].__wrapped__
    for name, named in FUNCTIONS.items():
        if named == path:
            return getattr(sys.modules["gateway"], name)
    return None


def _require_same_calls(path: str, target: Callable[..., Any], func: Callable[..., Any]) -> None:
    """Raise ``TypeError`` unless *func* takes each call that *target* takes, to the same effect."""
    import inspect

    wanted = inspect.signature(target)
    try:
        given = inspect.signature(func)
    except ValueError as error:
        msg = f"{func!r} has no signature to compare with that of {path}; wrap it in a def"
        raise TypeError(msg) from error
    if inspect.iscoroutinefunction(func) != inspect.iscoroutinefunction(target):
        problem = "one of them is a coroutine function"
    else:
        problem = _difference(wanted, given)
    if problem:
        msg = f"{func!r} cannot stand in for {path}{wanted}: {problem}"
        raise TypeError(msg)


def _difference(wanted: inspect.Signature, given: inspect.Signature) -> str:
    """Return how *given* differs for somebody who calls as *wanted* allows, or nothing."""
    for args, kwargs in _calls_of(wanted):
        try:
            bound = given.bind(*args, **kwargs)
        except TypeError as error:
            return str(error)
        for name, passed in bound.arguments.items():
            if isinstance(passed, _Argument) and passed.name not in {name, ""}:
                return f"it takes {passed.name} as {name}"
    for name, parameter in wanted.parameters.items():
        other = given.parameters.get(name, parameter)
        if other.default is not parameter.default and other.default != parameter.default:
            return f"the default of {name} differs"
    return ""


class _Argument:
    """An argument of a call that is only tried; a name that callers cannot use is empty."""

    def __init__(self, name: str) -> None:
        self.name = name


def _calls_of(
    signature: inspect.Signature,
) -> Iterator[tuple[list[_Argument], dict[str, _Argument]]]:
    """Return the calls that between them try everything that a signature allows."""
    parameters = list(signature.parameters.values())
    required = [one for one in parameters if one.default is one.empty]
    for chosen in (required, parameters):
        unnamed = [_Argument("") for one in chosen if one.kind is one.POSITIONAL_ONLY]
        rest = [_Argument("") for one in chosen if one.kind is one.VAR_POSITIONAL]
        either, keywords = (
            {one.name: _Argument(one.name) for one in chosen if one.kind.name == kind}
            for kind in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")
        )
        if any(one.kind is one.VAR_KEYWORD for one in chosen):
            keywords["any_other_name"] = _Argument("")
        yield [*unnamed, *either.values(), *rest], keywords
        yield unnamed, either | keywords
