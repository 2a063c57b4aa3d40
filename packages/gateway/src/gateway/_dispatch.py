"""The string door: operations whose names arrive as data."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib import import_module

from cores.errors import ConfigurationError, UnknownOperationError
from gateway import _wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class GatewayInterface(StrEnum):
    """The twelve interfaces. A member is its own name as text, so either may be passed."""

    CACHE = "cache"
    LOGGING = "logging"
    SECURITY = "security"
    METRICS = "metrics"
    SINGLETON = "singleton"
    HTTP_CLIENT = "http_client"
    UTILITY = "utility"
    INITIALIZATION = "initialization"
    LAMBDA = "lambda"
    CIRCUIT_BREAKER = "circuit_breaker"
    CONFIG = "config"
    DEBUG = "debug"


# Every public function that is an operation: its name, and the core's method that it calls.
FUNCTIONS = {
    "cache_get": "cache.get",
    "cache_set": "cache.set",
    "cache_delete": "cache.delete",
    "cache_clear": "cache.clear",
    "cache_contains": "cache.contains",
    "cache_get_many": "cache.get_many",
    "cache_set_many": "cache.set_many",
    "cache_get_or_set": "cache.get_or_set",
    "cached": "cache.cached",
    "cache_stats": "cache.stats",
    "log_debug": "logging.debug",
    "log_info": "logging.info",
    "log_warning": "logging.warning",
    "log_error": "logging.error",
    "log_critical": "logging.critical",
    "log_exception": "logging.exception",
    "log_context": "logging.context",
    "log_flush": "logging.flush",
    "log_stats": "logging.stats",
    "record_metric": "metrics.record",
    "increment_counter": "metrics.increment",
    "record_duration": "metrics.duration",
    "flush_metrics": "metrics.flush",
    "metrics_status": "metrics.status",
    "singleton_get": "singleton.get",
    "singleton_has": "singleton.has",
    "singleton_reset": "singleton.reset",
    "singleton_stats": "singleton.stats",
    "http_request": "http_client.request",
    "http_get": "http_client.get",
    "http_post": "http_client.post",
    "http_put": "http_client.put",
    "http_patch": "http_client.patch",
    "http_delete": "http_client.delete",
    "http_preconnect": "http_client.preconnect",
    "http_stats": "http_client.stats",
    "generate_correlation_id": "utility.generate_correlation_id",
    "utc_timestamp": "utility.utc_timestamp",
    "parse_json": "utility.parse_json",
    "dump_json": "utility.dump_json",
    "success_response": "utility.success_response",
    "error_response": "utility.error_response",
    "validate_string": "utility.validate_string",
    "deep_get": "utility.deep_get",
    "is_cold_start": "initialization.is_cold_start",
    "initialization_report": "initialization.report",
    "invocation": "lambda.invocation",
    "event_kind": "lambda.event_kind",
    "respond": "lambda.respond",
    "alexa_response": "lambda.alexa_response",
    "alexa_error_response": "lambda.alexa_error_response",
    "process_batch": "lambda.process_batch",
    "remaining_ms": "lambda.remaining_ms",
    "estimate_cost": "lambda.estimate_cost",
    "breaker_call": "circuit_breaker.call",
    "breaker_configure": "circuit_breaker.configure",
    "breaker_protect": "circuit_breaker.protect",
    "breaker_state": "circuit_breaker.state",
    "breaker_reset": "circuit_breaker.reset",
    "breaker_stats": "circuit_breaker.stats",
    "config_get": "config.get",
    "config_require": "config.require",
    "config_section": "config.section",
    "config_status": "config.status",
}

# Operations without a function of their own.
FURTHER = (
    "logging.forget",
    "metrics.forget",
    "metrics.use_namespace",
    "http_client.close",
    "http_client.reset",
    "singleton.close",
    "lambda.begin",
    "lambda.end",
    "initialization.run",
    "initialization.note",
)


# Only misspelt names need it, and it costs more than the whole gateway.
_difflib = _wiring.lazy("difflib", lambda: import_module("difflib"))


class Dispatcher:
    """Finds operations by name and counts how often each one ran."""

    def __init__(self) -> None:
        # After so many calls of an operation, the string door need not ask any more.
        self.promote_after = int(_wiring.setting("THRIFTGATE_PROMOTE_AFTER", 16, 1))
        self._calls: dict[str, dict[str, int]] = {}
        for path in (*FUNCTIONS.values(), *FURTHER):
            interface, _, operation = path.partition(".")
            self._calls.setdefault(interface, {})[operation] = 0
        self._registered: list[str] = []

    def execute(self, interface: str, operation: str, /, **kwargs: Any) -> Any:
        """Run *operation* of *interface* with the caller's keyword arguments."""
        self._require(interface, operation)
        calls = self._calls[interface]
        calls[operation] += 1
        target = getattr(_wiring.interfaces[interface], operation)
        if calls[operation] >= self.promote_after and _wiring.door is not None:
            _wiring.fast_path.promote(interface, operation)
        try:
            return target(**kwargs)
        except TypeError:
            _wiring.fast_path.explain(interface, operation, kwargs)
            raise

    def find(self, interface: str, operation: str) -> Callable[..., Any]:
        """Return the operation itself, from its core; a core that is not loaded is loaded."""
        self._require(interface, operation)
        return getattr(_wiring.interfaces[interface], operation)  # type: ignore[no-any-return]

    def is_registered(self, interface: str) -> bool:
        """Tell whether *interface* was added by ``register_interface``."""
        return interface in self._registered

    def calls(self) -> dict[str, dict[str, int]]:
        """Return how often each operation ran, by its name and by its handle."""
        return {
            interface: {
                operation: calls + _handle_calls(interface, operation)
                for operation, calls in counted.items()
            }
            for interface, counted in self._calls.items()
        }

    def register(self, name: str, target: str) -> None:
        """Add the interface *name*, made by calling *target* (``package.module:factory``)."""
        if not isinstance(name, str) or not name.isidentifier():
            msg = f"an interface name is a Python identifier, not {name!r}"
            raise ValueError(msg)
        if name in _wiring.interfaces or name in list(GatewayInterface):
            msg = f"interface {name!r} exists already; choose another name"
            raise ValueError(msg)
        module, colon, factory = target.partition(":") if isinstance(target, str) else ("", "", "")
        if not (colon and all(map(str.isidentifier, (*module.split("."), factory)))):
            msg = f"an interface's target is 'package.module:factory', not {target!r}"
            raise ValueError(msg)

        def build() -> Any:
            try:
                return getattr(import_module(module), factory)()
            except (ImportError, AttributeError) as error:
                msg = f"interface {name!r} cannot be loaded from {target!r}: {error}"
                raise ConfigurationError(msg) from error

        _wiring.interfaces[name] = _wiring.Lazy(name, build)
        self._registered.append(name)
        self._calls[name] = {}

    def stats(self) -> dict[str, object]:
        """Return path, interfaces and calls. See ``gateway.get_gateway_stats``."""
        calls = self.calls()
        return {
            "path": "pure" if _wiring.extension is None else "compiled",
            "reason": _wiring.reason,
            "python": sys.version.split(maxsplit=1)[0],
            "interfaces": {
                name: {
                    "loaded": is_loaded(stand_in),
                    **_load_times(stand_in),
                    "calls": {op: n for op, n in calls.get(name, {}).items() if n},
                }
                for name, stand_in in _wiring.interfaces.items()
            },
        }

    def close(self) -> None:
        """Take registered interfaces back."""
        for name in self._registered:
            _wiring.interfaces.pop(name)._reset()  # noqa: SLF001  as the wiring does with its own

    def _require(self, interface: str, operation: str) -> None:
        """Raise ``UnknownOperationError`` unless there is such an operation."""
        try:
            self._calls[interface][operation]
        except (KeyError, TypeError):
            if interface not in self._registered or not isinstance(operation, str):
                raise self._unknown(interface, operation) from None
            self._admit(interface, operation)

    def _admit(self, interface: str, operation: str) -> None:
        """Begin to count the calls of an operation of a registered interface."""
        if operation.startswith("_") or not callable(
            getattr(_wiring.interfaces[interface], operation, None)
        ):
            raise self._unknown(interface, operation) from None
        self._calls[interface].setdefault(operation, 0)

    def _unknown(self, interface: object, operation: object) -> UnknownOperationError:
        known: Iterable[str]
        if isinstance(interface, str) and interface in self._calls:
            known, given = self._calls[interface], str(operation)
            problem = f"interface {str(interface)!r} has no operation {given!r}"
        elif interface in list(GatewayInterface):
            msg = f"interface {str(interface)!r} is not part of this version"
            return UnknownOperationError(msg)
        else:
            known, given = _wiring.interfaces, str(interface)
            problem = f"there is no interface {given!r}"
        near: list[str] = _difflib.get_close_matches(given, known, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
        return UnknownOperationError(f"{problem}; {hint}")


def _handle_calls(interface: str, operation: str) -> int:
    route = _wiring.routes.get(interface, {}).get(operation)
    handle = _wiring.handles.get(f"{interface}.{operation}", route)
    return 0 if handle is None else handle.calls


def is_loaded(stand_in: Any) -> bool:
    """Tell whether the object behind *stand_in* is built."""
    return stand_in._target is not None  # noqa: SLF001  Lazy's own


def _load_times(stand_in: Any) -> dict[str, float]:
    """Return when the object behind *stand_in* was built, and how long that took."""
    if not is_loaded(stand_in):
        return {}
    return {"loaded_at": stand_in._loaded_at, "load_ms": stand_in._load_ms}  # noqa: SLF001
