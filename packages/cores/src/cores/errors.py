"""Every error raised on purpose, grouped by whose fault it is.

::

    GatewayError
    ├── CallerError                 the caller asked for something that does not exist
    │   └── UnknownOperationError   no such interface or operation (also a LookupError)
    ├── ConfigurationError          a setting or an installation must be changed
    │   └── MissingDependencyError  an optional library is not installed (also an ImportError)
    ├── RemoteError                 the other side, or the way there
    │   ├── ConnectError            nothing was sent: refused, DNS (also a ConnectionError)
    │   ├── TlsError                the peer could not be trusted; nothing was sent
    │   ├── TransferError           broken off, maybe after it arrived (also a ConnectionError)
    │   ├── ProtocolError           the answer is not HTTP, or is cut short
    │   └── DeadlineError           no complete answer in time (also a TimeoutError)
    └── LimitError                  a bound of ours was reached
        ├── CircuitOpenError        the breaker is open; carries retry_after
        └── TooLargeError           a body is larger than allowed

Misuse of a function (wrong type, value out of range) is a plain ``TypeError`` or ``ValueError``.
"""


class GatewayError(Exception):
    """Root of every error that this toolkit raises on purpose."""

    fault = "unknown"


class CallerError(GatewayError):
    """The caller asked for something that does not exist."""

    fault = "caller"


class UnknownOperationError(CallerError, LookupError):
    """There is no such interface or operation."""


class ConfigurationError(GatewayError):
    """A setting or an installation must be changed."""

    fault = "configuration"


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""


class RemoteError(GatewayError):
    """The other side, or the way there, failed."""

    fault = "remote"


class ConnectError(RemoteError, ConnectionError):
    """No connection came about, so nothing was sent."""


class TlsError(RemoteError):
    """The peer could not be trusted, so nothing was sent."""


class TransferError(RemoteError, ConnectionError):
    """The connection broke after the request may have been received."""


class ProtocolError(RemoteError):
    """The answer is not valid HTTP, or is shorter than it says."""


class DeadlineError(RemoteError, TimeoutError):
    """There was no complete answer before the deadline."""


class LimitError(GatewayError):
    """A bound of ours was reached."""

    fault = "limit"


class CircuitOpenError(LimitError):
    """The circuit breaker is open, so the call was not made.

    ``retry_after`` is the time in seconds until the breaker admits a call again.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooLargeError(LimitError):
    """A body is larger than allowed."""
