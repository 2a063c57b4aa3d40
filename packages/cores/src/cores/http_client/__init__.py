"""HTTP over kept, verified connections, each request finished by one deadline."""

from __future__ import annotations

import os
import threading
import time
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

from cores.errors import (
    ConnectError,
    DeadlineError,
    GatewayError,
    MissingDependencyError,
    ProtocolError,
    TlsError,
    TransferError,
)

try:
    from cores.http_client.connection import Connection, Deadline
except ModuleNotFoundError as error:
    if error.name != "urllib3":
        raise
    _MSG = "HTTP needs urllib3, which is not installed; install 'thriftgate-cores[http]'"
    raise MissingDependencyError(_MSG, name="urllib3") from error
from cores.http_client.message import (
    Request,
    Response,
    Target,
    checked_body,
    checked_count,
    checked_headers,
    checked_method,
    checked_seconds,
    checked_tls,
)
from cores.http_client.pool import Pools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypedDict, TypeVar, Unpack

    from cores.ports import Breaker, Clock, Current, Log

    T = TypeVar("T")

    class TlsOptions(TypedDict, total=False):
        """What `preconnect` shares with `request`."""

        verify: bool
        ca_file: str | None
        client_cert: str | tuple[str, ...] | None
        fingerprint: str | None

    class Options(TlsOptions, total=False):
        """The keyword arguments of `request`."""

        headers: Mapping[str, str] | None
        body: bytes | str | None
        json: object
        timeout: float | None
        retries: int | None
        redirects: int
        max_body: int | None
        breaker: str | None


__all__ = ["HttpClient", "Response"]

_IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")  # RFC 9110, 9.2.2
_TEMPORARY = (429, 502, 503, 504)


class HttpClient:
    """Send HTTP requests over kept connections, each within one deadline.

    **Deadline.** A request ends within *timeout* seconds, and *margin* seconds before the
    deadline of ``current.invocation``, whichever comes first, however the peer behaves:
    connecting, TLS handshake, sending, reading, pauses and repetitions share that time. There is
    one gap: the C library's name lookup cannot be interrupted. Bound it by setting
    ``RES_OPTIONS="timeout:1 attempts:2"`` in the function's environment.

    **Connections.** One pool per scheme, host, port and TLS options keeps at most *pool_size*
    idle connections, also from one invocation to the next. A connection that the peer has closed,
    or that has been idle for more than *max_idle* seconds of wall time (it may have died
    unnoticed during a freeze), is replaced before anything is sent. A forked child opens its own.

    **TLS.** Version 1.2 at least; peers are verified against the system's certificates, or
    against *ca_file* (PEM) alone. *client_cert* is the path of a PEM file, (certificate, key) or
    (certificate, key, password). *fingerprint* pins the SHA-256 of the peer's certificate, in
    addition to verification; with ``verify=False`` the pin alone decides. ``verify=False``
    without a pin accepts anybody, and is logged as a warning once per pool.

    Proxy variables of the environment are not honoured. Bodies are returned byte for byte: the
    client asks for ``Accept-Encoding: identity`` and decompresses nothing.

    Errors and log lines name the method, scheme, host and port, never the rest of the URL,
    headers or bodies. Safe under threads.

    >>> client = HttpClient(timeout=2.0)
    >>> client.stats()["requests"]
    0
    """

    def __init__(
        self,
        *,
        current: Current | None = None,
        breaker: Breaker | None = None,
        log: Log | None = None,
        clock: Clock = time.time,
        timer: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float = 10.0,
        margin: float = 0.5,
        max_body: int = 6_000_000,
        pool_size: int = 10,
        max_idle: float = 240.0,
    ) -> None:
        self._current: Current = SimpleNamespace(invocation=None) if current is None else current
        self._breaker: Breaker = _Direct() if breaker is None else breaker
        self._log: Log = _Silent() if log is None else log
        self._clock = clock
        self._timer = timer
        self._sleep = sleep
        self._timeout = checked_seconds("timeout", timeout)
        self._margin = checked_seconds("margin", margin, zero=True)
        self._max_body = checked_count("max_body", max_body)
        self._pools = Pools(
            log=self._log,
            clock=clock,
            size=checked_count("pool_size", pool_size, least=1),
            max_idle=checked_seconds("max_idle", max_idle),
        )
        self._lock = threading.Lock()
        self._counts: dict[str, int]
        self._errors: dict[str, int]
        self.reset()

    def request(
        self,
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
        """Send a request and return the whole answer, whatever its status.

        *body* is bytes, or str to be sent as UTF-8; *json* is a value to be sent as JSON.

        *retries* (2 unless given) is how often the request may be sent again while there is time,
        after growing random pauses: any request when nothing was sent; GET, HEAD, OPTIONS, PUT
        and DELETE also when the transfer broke off or the status is 429, 502, 503 or 504, not
        before ``Retry-After``. With 0 it is sent at most once.

        *redirects* is how many are followed. Another origin is sent no credentials: of the
        headers only Accept, Accept-Language, Content-Type and User-Agent, no client certificate,
        and no body. A redirect that would repeat the body there, or lead from https to http, is
        returned as the answer.

        *breaker* names the circuit breaker to go through; an answer of any status is a success.

        Raise ``ConnectError`` or ``TlsError`` (nothing was sent), ``TransferError``,
        ``ProtocolError``, ``DeadlineError``, ``TooLargeError`` (the body has more than
        *max_body* bytes), ``ConfigurationError`` (a certificate file), ``CircuitOpenError``;
        ``TypeError`` or ``ValueError`` for misuse.
        """
        started = self._timer()
        tls = checked_tls(
            verify=verify, ca_file=ca_file, client_cert=client_cert, fingerprint=fingerprint
        )
        request = Request(checked_method(method), Target(url), tls)
        request.headers = checked_headers(headers)
        request.body = checked_body(body, json, request.headers)
        request.retries = 2 if retries is None else checked_count("retries", retries)
        request.redirects = checked_count("redirects", redirects)
        request.max_body = (
            self._max_body if max_body is None else checked_count("max_body", max_body)
        )
        seconds = self._timeout if timeout is None else checked_seconds("timeout", timeout)
        self._count("requests")
        deadline = self._deadline(request, seconds)
        if breaker is None:
            response = self._follow(request, deadline)
        else:
            response = self._breaker.call(breaker, self._follow, request, deadline)
        response.elapsed_ms = (self._timer() - started) * 1000
        return response

    def get(self, url: str, **options: Unpack[Options]) -> Response:
        """Send a GET request with the options of `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Unpack[Options]) -> Response:
        """Send a POST request with the options of `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Unpack[Options]) -> Response:
        """Send a PUT request with the options of `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Unpack[Options]) -> Response:
        """Send a PATCH request with the options of `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Unpack[Options]) -> Response:
        """Send a DELETE request with the options of `request`."""
        return self.request("DELETE", url, **options)

    def preconnect(
        self, url: str, *, timeout: float | None = None, **tls: Unpack[TlsOptions]
    ) -> bool:
        """Open a connection, so that the first request needs no handshake.

        Give the TLS options of that request. Return whether there is a connection; a fault of
        the other side is logged as a warning and not raised.
        """
        request = Request("preconnect", Target(url), checked_tls(**tls))
        seconds = self._timeout if timeout is None else checked_seconds("timeout", timeout)
        try:
            self._run(request, self._deadline(request, seconds), Connection.ensure_open)
        except (ConnectError, TlsError, DeadlineError) as error:
            self._log.warning("preconnect failed", error=str(error))
            return False
        return True

    def stats(self) -> dict[str, Any]:  # numbers, and one mapping of them
        """Return counts since the start or the last reset.

        ``requests`` are calls, ``opened`` and ``reused`` connections, ``retries`` and
        ``redirects`` what they say; ``errors`` maps names of error types to counts, those of
        repeated attempts included. ``idle`` is the number of connections kept now.
        """
        with self._lock:
            counts, errors = self._counts.copy(), self._errors.copy()
        return {**counts, "idle": self._pools.idle(), "errors": errors}

    def close(self) -> None:
        """Close the idle connections and forget the TLS settings. The client stays usable."""
        self._pools.close()

    def reset(self) -> None:
        """Close the idle connections and start counting again."""
        self.close()
        with self._lock:
            self._counts = dict.fromkeys(
                ("requests", "opened", "reused", "retries", "redirects"), 0
            )
            self._errors = {}

    def _deadline(self, request: Request, seconds: float) -> Deadline:
        invocation = self._current.invocation
        if invocation is not None:
            left = invocation.deadline - self._clock() - self._margin
            if left <= 0:
                msg = (
                    f"{request.label}: the invocation has no time left but the margin of "
                    f"{self._margin:g} s; nothing was sent. Raise the function's timeout"
                )
                self._count_error(DeadlineError)
                raise DeadlineError(msg)
            seconds = min(seconds, left)
        return Deadline(seconds, self._timer)

    def _follow(self, request: Request, deadline: Deadline) -> Response:
        """Send *request*, then what redirects ask for, as often as allowed."""
        allowed = request.redirects
        response = self._repeat(request, deadline)
        for _ in range(allowed):
            following = request.redirected(response)
            if following is None:
                return response
            self._count("redirects")
            request = following
            response = self._repeat(request, deadline)
        if allowed and request.redirected(response) is not None:
            msg = f"{request.label}: more than {allowed} redirects"
            self._count_error(ProtocolError)
            raise ProtocolError(msg)
        return response

    def _repeat(self, request: Request, deadline: Deadline) -> Response:
        """Send *request* until the answer is to stay, or it must not be sent again."""
        is_idempotent = request.method in _IDEMPOTENT
        attempt = 0
        while True:
            try:
                response = self._run(request, deadline, Connection.exchange)
            except (ConnectError, TransferError, ProtocolError) as error:
                may_repeat = is_idempotent or isinstance(error, ConnectError)
                if not may_repeat or not self._pause(request, attempt, deadline):
                    raise
            else:
                may_repeat = is_idempotent and response.status in _TEMPORARY
                if not may_repeat or not self._pause(request, attempt, deadline, response):
                    return response
            attempt += 1

    def _pause(
        self, request: Request, attempt: int, deadline: Deadline, response: Response | None = None
    ) -> bool:
        """Wait before the next attempt; return False if there is none, or no time for it."""
        if attempt >= request.retries:
            return False
        # Full jitter under a doubling bound. From os.urandom: a seeded generator would repeat
        # itself in every fork and every restored snapshot.
        seconds = int.from_bytes(os.urandom(2), "big") / 65536 * min(0.1 * 2**attempt, 2.0)
        if response is not None:
            seconds = max(seconds, self._retry_after(response))
        if seconds >= deadline.left():
            return False
        self._count("retries")
        self._log.debug("request repeated", request=request.label, attempt=attempt + 2)
        self._sleep(seconds)
        return True

    def _retry_after(self, response: Response) -> float:
        value = response.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            return parsedate_to_datetime(value).timestamp() - self._clock()
        except (ValueError, TypeError, IndexError, OverflowError):
            return 0.0  # no date at all, or one beyond the calendar

    def _run(
        self,
        request: Request,
        deadline: Deadline,
        step: Callable[[Connection, Request, Deadline], T],
    ) -> T:
        """Do *step* on a connection, and keep that if it is still open afterwards."""
        connection = self._pools.take(request.target, request.tls)
        self._count("opened" if connection.is_closed else "reused")
        try:
            result = step(connection, request, deadline)
        except GatewayError as error:
            self._count_error(type(error))
            raise
        if not connection.is_closed:
            self._pools.keep(connection)
        return result

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _count_error(self, kind: type[GatewayError]) -> None:
        with self._lock:
            self._errors[kind.__name__] = self._errors.get(kind.__name__, 0) + 1


class _Direct:
    """The breaker that never opens."""

    def call(self, _: str, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        return func(*args, **kwargs)


class _Silent:
    """The log that writes nothing."""

    def debug(self, message: str, /, **fields: object) -> None: ...

    info = warning = error = debug
