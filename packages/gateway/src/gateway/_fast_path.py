"""The compiled path as its users see it: on, off, additions to it, and what was called."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType

from gateway import _wiring
from gateway._dispatch import FUNCTIONS

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
    ) -> None:
        """Put *func* in the place of an operation. See ``gateway.register_fast_path``."""
        if not callable(func):
            msg = f"func must be callable, not {func!r}"
            raise TypeError(msg)
        target = _wiring.dispatcher.find(interface, operation)
        path = f"{interface}.{operation}"
        _require_same_calls(path, target, func)
        if not replace and (path in self._registered or path in _public_functions()):
            whose = "a fast path" if path in self._registered else "an implementation of its own"
            msg = f"{path} has {whose}; pass replace=True to put {func!r} in its place"
            raise ValueError(msg)
        self._registered[path] = func
        self._route(interface, operation, func)

    def promote(self, interface: str, operation: str) -> None:
        """Let the string door call an operation without asking the dispatcher."""
        if operation not in _wiring.routes.get(interface, ()):
            self._route(interface, operation, _wiring.dispatcher.find(interface, operation))

    def hollow(self, function: FunctionType) -> FunctionType:
        """Return a function that takes the same arguments and does nothing.

        Calling it raises what *function* would raise for arguments that do not fit.
        """
        body = _nothing.__code__
        code = function.__code__.replace(
            co_code=body.co_code,
            co_consts=body.co_consts,
            co_names=(),
            co_stacksize=body.co_stacksize,
            co_exceptiontable=b"",
        )
        hollow = FunctionType(code, {}, function.__name__, function.__defaults__)
        hollow.__kwdefaults__ = function.__kwdefaults__
        return hollow

    def explain(self, interface: str, operation: str, kwargs: dict[str, Any]) -> None:
        """Raise the public function's own ``TypeError`` if it does not take *kwargs*."""
        function = _public_functions().get(f"{interface}.{operation}")
        if function is not None:
            try:
                self.hollow(function)(**kwargs)
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

    def _route(self, interface: str, operation: str, target: Callable[..., Any]) -> None:
        if _wiring.extension is None:
            return
        path = f"{interface}.{operation}"
        handle = _wiring.handles.get(path)
        if handle is None:
            function = _public_functions().get(path, target)
            handle = _wiring.extension.Handle(function, _wiring)
        handle.bind(target)
        _wiring.routes.setdefault(str(interface), {})[operation] = handle
        _wiring.door.bind(None)  # it may remember the handle that was there

    def _describe(self, path: str, calls: int) -> dict[str, Any]:
        interface, _, operation = path.partition(".")
        route = _wiring.routes.get(interface, {}).get(operation)
        handle = _wiring.handles.get(path, route)
        bound = None if handle is None else handle.bound
        return {
            "calls": calls,
            "compiled": isinstance(bound, BuiltinFunctionType),
            "loaded": _wiring.is_loaded(_wiring.interfaces[interface]),
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


def _public_functions() -> dict[str, Any]:
    """Return the public function of each operation that has one."""
    import gateway

    return {path: getattr(gateway, name) for name, path in FUNCTIONS.items()}


def _require_same_calls(path: str, target: Callable[..., Any], func: Callable[..., Any]) -> None:
    """Raise ``TypeError`` unless *func* takes each call that *target* takes, to the same effect."""
    import inspect

    try:
        wanted, given = inspect.signature(target), inspect.signature(func)
    except ValueError as error:
        msg = f"{func!r} has no signature to compare with that of {path}; wrap it in a def"
        raise TypeError(msg) from error
    problem = ""
    if inspect.iscoroutinefunction(func) != inspect.iscoroutinefunction(target):
        problem = "one of them is a coroutine function"
    for args, kwargs in _calls_of(wanted):
        try:
            given.bind(*args, **kwargs)
        except TypeError as error:
            problem = str(error)
    for name, parameter in wanted.parameters.items():
        other = given.parameters.get(name, parameter)
        if not problem and other.default != parameter.default:
            problem = f"the default of {name} differs"
    if problem:
        msg = f"{func!r} cannot stand in for {path}{wanted}: {problem}"
        raise TypeError(msg)


def _calls_of(signature: inspect.Signature) -> Iterator[tuple[list[None], dict[str, None]]]:
    """Return the calls that between them try everything that a signature allows."""
    parameters = signature.parameters.values()
    required = [one for one in parameters if one.default is one.empty]
    for chosen in (required, list(parameters)):
        by_position = [
            one for one in chosen if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
        ]
        only = [one for one in by_position if one.kind is one.POSITIONAL_ONLY]
        by_name = {one.name: None for one in chosen if one.kind is one.KEYWORD_ONLY}
        extra = {"any_other_name": None} if any(o.kind is o.VAR_KEYWORD for o in chosen) else {}
        rest = [None] * any(one.kind is one.VAR_POSITIONAL for one in chosen)
        yield [None] * len(by_position) + rest, by_name | extra
        named = {one.name: None for one in by_position if one not in only}
        yield [None] * len(only), named | by_name | extra
