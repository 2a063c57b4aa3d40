"""The connections that wait for their next request."""

from __future__ import annotations

import os
import threading

from cores.http_client.connection import Connection, TlsConnection, tls_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

    from cores.http_client.message import Target, Tls
    from cores.ports import Clock, Log

_MAX_POOLS = 50  # with up to *size* sockets each; Lambda allows 1,024 open files


class Pools:
    """At most *size* idle connections for each scheme, host, port and set of TLS options."""

    def __init__(self, *, log: Log, clock: Clock, size: int, max_idle: float) -> None:
        self._log = log
        self._clock = clock
        self._size = size
        self._max_idle = max_idle
        self._pools: dict[tuple[object, ...], _Pool] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def take(self, target: Target, tls: Tls) -> Connection:
        """Return an idle connection that still works, or else a new one, not open yet."""
        if self._process != os.getpid():
            # Forked: the connections are the parent's, and a thread of it may have held the lock.
            self._process = os.getpid()
            self._lock = threading.Lock()
            self._pools = {}
        key = (target.scheme, target.host, target.port, tls)
        pool = self._pools.get(key) or self._add(key, target, tls)
        while True:
            try:
                connection = pool.idle.pop()
            except IndexError:
                kind = Connection if pool.context is None else TlsConnection
                return kind(target, pool.context, tls[3], pool)
            if 0 <= self._clock() - connection.kept_at <= self._max_idle and connection.is_quiet:
                return connection
            connection.close()

    def keep(self, connection: Connection) -> None:
        """Take back a connection after use; close it when there are enough."""
        pool: _Pool = connection.pool
        connection.kept_at = self._clock()
        if len(pool.idle) < self._size:
            pool.idle.append(connection)
        else:
            connection.close()
        if pool.is_closed:  # while the connection was in use
            pool.close()

    def idle(self) -> int:
        """Return the number of idle connections."""
        with self._lock:
            return sum(len(pool.idle) for pool in self._pools.values())

    def close(self) -> None:
        """Close the idle connections; forget the TLS contexts, so files are read again."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
            self._contexts.clear()
        for pool in pools:
            pool.close()

    def _add(self, key: tuple[object, ...], target: Target, tls: Tls) -> _Pool:
        context = None
        if target.scheme == "https":
            shared = (*tls[:3], None)  # a pin is not the context's business
            context = self._contexts.get(shared)
            if context is None:
                context = self._contexts.setdefault(shared, tls_context(shared))
            if tls[0] is False and tls[3] is None:
                self._log.warning(
                    "TLS verification is off; give ca_file or fingerprint instead",
                    origin=target.origin,
                )
        with self._lock:
            if len(self._pools) >= _MAX_POOLS:
                self._pools.pop(next(iter(self._pools))).close()
            return self._pools.setdefault(key, _Pool(context))


class _Pool:
    """The idle connections of one kind. Without a lock: a list's append and pop are atomic."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.idle: list[Connection] = []
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True
        while True:
            try:
                self.idle.pop().close()
            except IndexError:
                return

    __del__ = close  # or each socket would warn that nobody closed it
