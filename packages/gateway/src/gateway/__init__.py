"""One import for what a function on AWS Lambda needs; nothing loads before it is used.

Each function below is one statement: it forwards to the method of a core, which is built at the
first call (see ``gateway._wiring``). Signatures and behaviour are those of the core's method.
"""

from __future__ import annotations

import os

from gateway import _wiring
from gateway._wiring import preload, reset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload

    from gateway._types import *


__version__ = "0.1.0"

__all__ = [
    "CallerError",
    "CircuitOpenError",
    "ConfigurationError",
    "ConnectError",
    "DeadlineError",
    "GatewayError",
    "GatewayInterface",
    "LimitError",
    "MissingDependencyError",
    "ProtocolError",
    "RemoteError",
    "TlsError",
    "TooLargeError",
    "TransferError",
    "UnknownOperationError",
    "alexa_error_response",
    "alexa_response",
    "breaker_call",
    "breaker_configure",
    "breaker_protect",
    "breaker_reset",
    "breaker_state",
    "breaker_stats",
    "cache_clear",
    "cache_contains",
    "cache_delete",
    "cache_get",
    "cache_get_many",
    "cache_get_or_set",
    "cache_set",
    "cache_set_many",
    "cache_stats",
    "cached",
    "config_get",
    "config_require",
    "config_section",
    "config_status",
    "deep_get",
    "disable_fast_path",
    "dump_json",
    "enable_fast_path",
    "error_response",
    "estimate_cost",
    "event_kind",
    "execute_operation",
    "flush_metrics",
    "generate_correlation_id",
    "get_fast_path_stats",
    "get_gateway_stats",
    "handler",
    "http_delete",
    "http_get",
    "http_patch",
    "http_post",
    "http_preconnect",
    "http_put",
    "http_request",
    "http_stats",
    "increment_counter",
    "initialization_report",
    "invocation",
    "is_cold_start",
    "log_context",
    "log_critical",
    "log_debug",
    "log_error",
    "log_exception",
    "log_flush",
    "log_info",
    "log_stats",
    "log_warning",
    "metrics_status",
    "parse_json",
    "preload",
    "process_batch",
    "record_duration",
    "record_metric",
    "register_fast_path",
    "register_interface",
    "remaining_ms",
    "reset",
    "respond",
    "singleton_get",
    "singleton_has",
    "singleton_reset",
    "singleton_stats",
    "success_response",
    "utc_timestamp",
    "validate_string",
]

# --- cache -----------------------------------------------------------------------------------


def cache_get(key: Hashable, default: Any = None) -> Any:
    """Return the value under *key*, or *default* when there is none or it has expired."""
    return _wiring.cache.get(key, default)


def cache_set(
    key: Hashable, value: Any, ttl: float | None = None, *, size: int | None = None
) -> None:
    """Store *value* under *key* for *ttl* seconds; without one, until it is evicted.

    *size* in bytes replaces the estimate where the cache is bounded by bytes. Raises
    ``ValueError`` when *ttl* is not above zero.
    """
    _wiring.cache.set(key, value, ttl, size=size)


def cache_delete(key: Hashable) -> bool:
    """Remove *key*; tell whether it was there."""
    return _wiring.cache.delete(key)


def cache_clear() -> None:
    """Remove every entry."""
    _wiring.cache.clear()


def cache_contains(key: Hashable) -> bool:
    """Tell whether *key* has a value that has not expired."""
    return _wiring.cache.contains(key)


def cache_get_many(keys: Iterable[Hashable]) -> dict[Any, Any]:
    """Return the values that are there, by key; missing keys are left out."""
    return _wiring.cache.get_many(keys)


def cache_set_many(items: Mapping[Any, Any], ttl: float | None = None) -> None:
    """Store every item of the mapping *items* for *ttl* seconds."""
    _wiring.cache.set_many(items, ttl)


def cache_get_or_set(key: Hashable, factory: Callable[[], T], ttl: float | None = 300.0) -> T:
    """Return the value under *key*, computing it with *factory* once on a miss."""
    return _wiring.cache.get_or_set(key, factory, ttl)


def cached(ttl: float | None = 300.0) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that its results are kept for *ttl* seconds by its arguments."""
    return _wiring.cache.cached(ttl)


def cache_stats() -> dict[str, int]:
    """Return entries, bytes, hits, misses, expirations and evictions."""
    return _wiring.cache.stats()


# --- logging ---------------------------------------------------------------------------------


def log_debug(message: str, /, **fields: object) -> None:
    """Log *message* at DEBUG with *fields*."""
    _wiring.logging.debug(message, **fields)


def log_info(message: str, /, **fields: object) -> None:
    """Log *message* at INFO with *fields*."""
    _wiring.logging.info(message, **fields)


def log_warning(message: str, /, **fields: object) -> None:
    """Log *message* at WARNING with *fields*, written at once."""
    _wiring.logging.warning(message, **fields)


def log_error(message: str, /, **fields: object) -> None:
    """Log *message* at ERROR with *fields*, written at once."""
    _wiring.logging.error(message, **fields)


def log_critical(message: str, /, **fields: object) -> None:
    """Log *message* at CRITICAL with *fields*, written at once."""
    _wiring.logging.critical(message, **fields)


def log_exception(message: str, /, *, error: BaseException | None = None, **fields: object) -> None:
    """Log *message* at ERROR with *error*, or with the exception that is being handled."""
    _wiring.logging.exception(message, error=error, **fields)


def log_context(**fields: object) -> AbstractContextManager[object]:
    """Add *fields* to every line until the invocation ends, or until the ``with`` block does."""
    return _wiring.logging.context(**fields)


def log_flush() -> None:
    """Write the buffered lines now. ``@handler`` does it at the end of each invocation."""
    _wiring.logging.flush()


def log_stats() -> dict[str, object]:
    """Return lines by level, bytes written, lines buffered and lines lost to a failed write."""
    return _wiring.logging.stats()


# --- metrics ---------------------------------------------------------------------------------


def record_metric(
    name: str,
    value: float,
    unit: str | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> None:
    """Record one *value* of the metric *name*, written at the end of the invocation.

    Raises ``ValueError`` for a value that is not finite, an unknown unit, or another unit than
    before; then nothing is recorded.
    """
    _wiring.metrics.record(name, value, unit, dimensions)


def increment_counter(
    name: str, value: float = 1, dimensions: Mapping[str, str] | None = None
) -> None:
    """Add *value* to the counter *name*, in unit ``Count``."""
    _wiring.metrics.increment(name, value, dimensions)


def record_duration(
    name: str, dimensions: Mapping[str, str] | None = None
) -> AbstractContextManager[None]:
    """Record how long a ``with`` block takes, in milliseconds, also when it raises."""
    return _wiring.metrics.duration(name, dimensions)


def flush_metrics() -> None:
    """Write what was recorded now. ``@handler`` does it at the end of each invocation."""
    _wiring.metrics.flush()


def metrics_status() -> dict[str, object]:
    """Return identities used and allowed, values pending, lines written and a local summary."""
    return _wiring.metrics.status()


# --- singleton -------------------------------------------------------------------------------


def singleton_get(name: str, factory: Callable[[], T]) -> T:
    """Return the object called *name*, made by *factory* once per environment."""
    return _wiring.singleton.get(name, factory)


def singleton_has(name: str) -> bool:
    """Tell whether the object called *name* has been made."""
    return _wiring.singleton.has(name)


def singleton_reset(name: str | None = None) -> None:
    """Close and forget the object called *name*, or all of them."""
    _wiring.singleton.reset(name)


def singleton_stats() -> dict[str, object]:
    """Return the names that exist and when each was made."""
    return _wiring.singleton.stats()


# --- http_client -----------------------------------------------------------------------------


def http_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
    json: object = ...,
    timeout: float | None = None,
    retries: int | None = None,
    redirects: int = 0,
    max_body: int | None = None,
    breaker: str | None = None,
    verify: bool = True,
    ca_file: str | None = None,
    client_cert: str | tuple[str, ...] | None = None,
    fingerprint: str | None = None,
) -> Response:
    """Send a request and return the whole answer, whatever its status, before the deadline.

    The deadline is *timeout* seconds from now, or half a second before the invocation's. Raises
    ``ConnectError`` or ``TlsError`` (nothing was sent), ``TransferError``, ``ProtocolError``,
    ``DeadlineError``, ``TooLargeError``, ``CircuitOpenError``. See ``cores.http_client``.
    """
    return _wiring.http_client.request(
        method,
        url,
        headers=headers,
        body=body,
        json=json,
        timeout=timeout,
        retries=retries,
        redirects=redirects,
        max_body=max_body,
        breaker=breaker,
        verify=verify,
        ca_file=ca_file,
        client_cert=client_cert,
        fingerprint=fingerprint,
    )


def http_get(url: str, **options: Unpack[Options]) -> Response:
    """Send a GET request with the options of ``http_request``."""
    return _wiring.http_client.get(url, **options)


def http_post(url: str, **options: Unpack[Options]) -> Response:
    """Send a POST request with the options of ``http_request``."""
    return _wiring.http_client.post(url, **options)


def http_put(url: str, **options: Unpack[Options]) -> Response:
    """Send a PUT request with the options of ``http_request``."""
    return _wiring.http_client.put(url, **options)


def http_patch(url: str, **options: Unpack[Options]) -> Response:
    """Send a PATCH request with the options of ``http_request``."""
    return _wiring.http_client.patch(url, **options)


def http_delete(url: str, **options: Unpack[Options]) -> Response:
    """Send a DELETE request with the options of ``http_request``."""
    return _wiring.http_client.delete(url, **options)


def http_preconnect(url: str, *, timeout: float | None = None, **tls: Unpack[TlsOptions]) -> bool:
    """Open a connection, so that the first request needs no handshake; tell whether it is open."""
    return _wiring.http_client.preconnect(url, timeout=timeout, **tls)


def http_stats() -> dict[str, Any]:
    """Return counts of requests, connections opened and reused, retries, and errors by type."""
    return _wiring.http_client.stats()


# --- utility ---------------------------------------------------------------------------------


def generate_correlation_id() -> str:
    """Return a new id of 32 hexadecimal digits; later ones sort after earlier ones."""
    return _wiring.utility.generate_correlation_id()


def utc_timestamp(when: float | None = None) -> str:
    """Return *when* (seconds since the epoch, by default now) as RFC 3339 text in UTC."""
    return _wiring.utility.utc_timestamp(when)


def parse_json(text: str | bytes, *, max_bytes: int = 6_291_456, max_depth: int = 100) -> Any:
    """Return what the JSON *text* says.

    Raises ``TooLargeError`` past the bounds, ``ValueError`` with the position for what is not
    JSON. No message holds a part of the text.
    """
    return _wiring.utility.parse_json(text, max_bytes=max_bytes, max_depth=max_depth)


def dump_json(value: object) -> str:
    """Return *value* as compact JSON; what JSON cannot hold is refused with its place."""
    return _wiring.utility.dump_json(value)


def success_response(data: object = None, *, message: str | None = None) -> dict[str, Any]:
    """Return the standard body of a success: ``success``, ``data``, ``timestamp``."""
    return _wiring.utility.success_response(data, message=message)


def error_response(
    message: str, code: str = "INTERNAL_ERROR", *, details: object = None
) -> dict[str, Any]:
    """Return the standard body of a failure: ``success``, ``error``, ``timestamp``."""
    return _wiring.utility.error_response(message, code, details=details)


def validate_string(
    value: object,
    *,
    name: str = "value",
    min_length: int = 0,
    max_length: int = 10_000,
    pattern: str | re.Pattern[str] | None = None,
    allow_control: bool = False,
) -> str:
    """Return *value* if it is text within the bounds; the error never holds the value."""
    return _wiring.utility.validate_string(
        value,
        name=name,
        min_length=min_length,
        max_length=max_length,
        pattern=pattern,
        allow_control=allow_control,
    )


def deep_get(obj: object, path: str | Sequence[str | int], default: Any = None) -> Any:
    """Return what lies at *path* (``items[0].id``) in *obj*, or *default* if nothing does."""
    return _wiring.utility.deep_get(obj, path, default)


# --- initialization --------------------------------------------------------------------------


def is_cold_start() -> bool:
    """Tell whether this is the first invocation of the environment, or before it."""
    return _wiring.initialization.is_cold_start()


def initialization_report() -> dict[str, object]:
    """Return what ran in INIT: each task with how long it took, failed or skipped."""
    return _wiring.initialization.report()


# --- lambda ----------------------------------------------------------------------------------


def invocation() -> Invocation | None:
    """Return the current invocation, or None between invocations."""
    return _wiring.lambda_.invocation()


def event_kind(event: object) -> str:
    """Return what sent *event*, judged by its shape; ``direct`` when nothing else fits."""
    return _wiring.lambda_.event_kind(event)


def respond(
    event: object,
    status: int = 200,
    body: object = None,
    headers: Mapping[str, object] | None = None,
    *,
    cookies: Sequence[str] = (),
    base64: bool = False,
) -> dict[str, object]:
    """Return the answer to the HTTP request *event* in the shape that its sender accepts.

    A dict or list becomes JSON, bytes become base64. Raises ``ValueError`` for an event that is
    no HTTP request.
    """
    return _wiring.lambda_.respond(event, status, body, headers, cookies=cookies, base64=base64)


def alexa_response(
    speech: str | None = None,
    *,
    ssml: str | None = None,
    reprompt: str | None = None,
    card: Mapping[str, object] | None = None,
    end_session: bool | None = None,
    session: Mapping[str, object] | None = None,
    directives: Sequence[Mapping[str, object]] | None = None,
) -> dict[str, object]:
    """Return a custom skill's response."""
    return _wiring.lambda_.alexa_response(
        speech,
        ssml=ssml,
        reprompt=reprompt,
        card=card,
        end_session=end_session,
        session=session,
        directives=directives,
    )


def alexa_error_response(
    event: object,
    type: str,  # noqa: A002  Alexa's word
    message: str,
    *,
    namespace: str = "Alexa",
    payload: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the complete Smart Home answer to the directive *event*, which failed."""
    return _wiring.lambda_.alexa_error_response(
        event, type, message, namespace=namespace, payload=payload
    )


def process_batch(
    event: object,
    handler: Callable[[Any], object],
    *,
    context: object = None,
    margin: float = 0.5,
    raise_if_all_fail: bool = True,
) -> dict[str, list[dict[str, str]]]:
    """Call ``handler(record)`` for each record of *event*; return those to be sent again."""
    return _wiring.lambda_.process_batch(
        event, handler, context=context, margin=margin, raise_if_all_fail=raise_if_all_fail
    )


def remaining_ms(margin: float = 0.0) -> float:
    """Return the milliseconds left until *margin* seconds before the deadline; ``inf`` if none."""
    return _wiring.lambda_.remaining_ms(margin)


def estimate_cost(
    duration_ms: float,
    *,
    init_ms: float = 0.0,
    memory_mb: int | None = None,
    architecture: str | None = None,
) -> dict[str, object]:
    """Return what one invocation costs before any free tier, as an estimate."""
    return _wiring.lambda_.estimate_cost(
        duration_ms, init_ms=init_ms, memory_mb=memory_mb, architecture=architecture
    )


# --- circuit_breaker -------------------------------------------------------------------------


def breaker_call(name: str, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call *func* once through the breaker *name* and return its result.

    Raises ``CircuitOpenError`` without calling when the breaker is open.
    """
    return _wiring.circuit_breaker.call(name, func, *args, **kwargs)


def breaker_configure(
    name: str,
    *,
    failure_threshold: int | None = None,
    recovery: float | None = None,
    half_open_max: int | None = None,
    excluded: tuple[type[Exception], ...] | None = None,
) -> None:
    """Give the breaker *name* options of its own; what is None stays as it is."""
    _wiring.circuit_breaker.configure(
        name,
        failure_threshold=failure_threshold,
        recovery=recovery,
        half_open_max=half_open_max,
        excluded=excluded,
    )


def breaker_protect(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that sends each call of a function through the breaker *name*."""
    return _wiring.circuit_breaker.protect(name)


def breaker_state(name: str) -> str:
    """Return ``"closed"``, ``"open"`` or ``"half_open"``."""
    return _wiring.circuit_breaker.state(name)


def breaker_reset(name: str | None = None) -> None:
    """Close one breaker, or all of them, and forget what they counted."""
    _wiring.circuit_breaker.reset(name)


def breaker_stats() -> dict[str, dict[str, str | int]]:
    """Return, for each breaker used or configured, its state and what it counted."""
    return _wiring.circuit_breaker.stats()


# --- config ----------------------------------------------------------------------------------


def config_get(name: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002
    """Return the setting *name* from the environment, converted to *type*, or *default*."""
    return _wiring.config.get(name, default, type=type)


def config_require(name: str, *, type: Any = None) -> Any:  # noqa: A002
    """Return the setting *name*; raise ``ConfigurationError`` when it is missing or wrong."""
    return _wiring.config.require(name, type=type)


def config_section(model: type[T], *, prefix: str = "") -> T:
    """Return an instance of the annotated class *model*, filled from the environment.

    Raises one ``ConfigurationError`` that lists everything missing or wrong.
    """
    return _wiring.config.section(model, prefix=prefix)


def config_status() -> dict[str, Any]:
    """Return which settings were asked for and where each came from, never a secret's value."""
    return _wiring.config.status()


# --- the gateway itself ----------------------------------------------------------------------

if TYPE_CHECKING:

    @overload
    def handler(func: Handler, /) -> Handler: ...
    @overload
    def handler(
        *,
        preload: Sequence[str] = (),
        log_event: bool = False,
        metrics_namespace: str | None = None,
        correlation_id: str | None = None,
    ) -> Callable[[Handler], Handler]: ...


def handler(
    func: Handler | None = None,
    /,
    *,
    preload: Sequence[str] = (),
    log_event: bool = False,
    metrics_namespace: str | None = None,
    correlation_id: str | None = None,
) -> Handler | Callable[[Handler], Handler]:
    """Decorate a Lambda handler: context, correlation id, one flush, and errors by event kind.

    *preload* names interfaces to build while the module is imported. *correlation_id* is a dotted
    path into the event, for callers of your own. *log_event* logs the event, redacted.
    An exception is logged with type, message, chain and location; an HTTP event is answered with
    status 500, an Alexa event with a complete Alexa error, and for everything else it is raised.
    """
    return _wiring.entry.handler(  # type: ignore[no-any-return]  # a module behind a stand-in
        func, preload, metrics_namespace, correlation_id, log_event=log_event
    )


def execute_operation(interface: str, operation: str, /, **kwargs: Any) -> Any:
    """Run an operation whose name arrives as data: ``execute_operation("cache", "get", key="k")``.

    *interface* is a ``GatewayInterface`` or its value. Raises ``UnknownOperationError`` naming
    near matches. A keyword called ``interface`` or ``operation`` reaches the operation.
    """
    return _wiring.dispatcher.execute(interface, operation, **kwargs)


def register_interface(name: str, target: str) -> None:
    """Add an interface: *target* is ``package.module:factory``, called at the first use.

    A target that cannot be loaded raises ``ConfigurationError`` at that use, and the next one
    tries again. The public methods of what the factory returns are the operations.
    """
    _wiring.dispatcher.register(name, target)


def enable_fast_path() -> dict[str, Any]:
    """Let the hot functions jump to their compiled handles, also where imported by name.

    Returns ``enabled`` and, when it is not, the ``reason``: a process that started on the pure
    path stays there.
    """
    return _wiring.fast_path.enable()


def disable_fast_path() -> dict[str, Any]:
    """Let the hot functions go the pure path, also where they were imported by name.

    What is cached, logged and recorded stays the same. Returns what ``enable_fast_path`` does.
    """
    return _wiring.fast_path.disable()


def register_fast_path(
    interface: str, operation: str, func: Callable[..., Any], *, replace: bool = False
) -> Callable[..., Any]:
    """Let *func* do what *operation* of *interface* does, while the fast path is enabled.

    The string door calls it, and so do the hot public functions; other public functions keep
    their own implementation. Returns what did it before, for a *func* that wraps it. It must take
    every call that the operation takes, with the same defaults: ``TypeError`` says what differs.
    An operation of the gateway, or one that has a fast path already, is replaced only with
    *replace*: else ``ValueError``. ``UnknownOperationError`` when there is no such operation.
    """
    return _wiring.fast_path.register(interface, operation, func, replace=replace)


def get_fast_path_stats() -> dict[str, Any]:
    """Return whether the fast path is compiled and enabled, and why not, and what was called.

    ``operations`` maps each operation that has a handle or was called through the string door to
    its ``calls`` and whether it is ``compiled``, ``loaded``, ``promoted`` and ``registered``;
    ``top`` lists the ten most called; ``promote_after`` is the number of calls through the string
    door after which it stops asking the dispatcher.
    """
    return _wiring.fast_path.stats()


def get_gateway_stats() -> dict[str, Any]:
    """Return which path runs and why, and each interface: loaded, when, in how many ms, calls.

    Calls are those through ``execute_operation`` and the handles of the compiled path; plain
    functions are not counted on the pure path, so that nobody pays for counting.
    """
    return _wiring.dispatcher.stats()


if not TYPE_CHECKING:  # pragma: no branch - to a type checker these names are there from the start

    def __getattr__(name: str) -> object:
        """Find ``GatewayInterface`` and the exceptions when they are first asked for."""
        home: object = None
        if name == "GatewayInterface":
            from gateway import _dispatch as home
        elif name.endswith("Error"):
            from cores import errors as home
        if not hasattr(home, name):
            msg = f"module 'gateway' has no attribute {name!r}"
            raise AttributeError(msg, name=name)
        value = globals()[name] = getattr(home, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


_wiring.put_handles(globals())

if os.environ.get("THRIFTGATE_EAGER", "0") not in ("", "0"):
    preload(*_wiring.interfaces)
