"""What a core may need from its neighbours, as Protocols.

A core takes a neighbour as a constructor argument typed by one of these, with a silent default,
and imports this module for type checking only: importing ``typing`` at run time would cost
about a tenth of a bare function's start.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Wall time in seconds since the epoch. It survives a freeze and may jump."""

    def __call__(self) -> float: ...


class Write(Protocol):
    """Write all of *data* to the function's log stream before returning."""

    def __call__(self, data: bytes, /) -> None: ...


class Invocation(Protocol):
    """One invocation of the function, as far as other cores care."""

    @property
    def correlation_id(self) -> str: ...
    @property
    def request_id(self) -> str: ...
    @property
    def function_name(self) -> str: ...
    @property
    def cold_start(self) -> bool: ...
    @property
    def deadline(self) -> float:
        """Wall time in seconds since the epoch; ``inf`` when there is none."""
        ...


class Current(Protocol):
    """Holder of the invocation that is going on now, or of None between invocations."""

    invocation: Invocation | None


class Watch(Protocol):
    """Flushes what is buffered shortly before the deadline of the current invocation."""

    def start(self) -> None:
        """Make sure that somebody is watching. Cheap when somebody already is."""
        ...


class Variable(Protocol[T]):
    """A value that may differ between threads and tasks: a ``ContextVar``."""

    def get(self, default: T, /) -> T: ...
    def set(self, value: T, /) -> object: ...


class Engine(Protocol):
    """A bounded key-value store with expiry: ``fastpath_ext.Store`` or ``cores.store.Store``."""

    def get(self, key: Hashable, default: Any = None) -> Any: ...
    def set(
        self, key: Hashable, value: Any, ttl: float | None = None, *, size: int | None = None
    ) -> None: ...
    def delete(self, key: Hashable) -> bool: ...
    def contains(self, key: Hashable) -> bool: ...
    def clear(self) -> None: ...
    def get_many(self, keys: Iterable[Hashable]) -> dict[Any, Any]: ...
    def set_many(self, items: Mapping[Any, Any], ttl: float | None = None) -> None: ...
    def stats(self) -> dict[str, int]: ...


class Log(Protocol):
    """Structured log lines."""

    def debug(self, message: str, /, **fields: object) -> None: ...
    def info(self, message: str, /, **fields: object) -> None: ...
    def warning(self, message: str, /, **fields: object) -> None: ...
    def error(self, message: str, /, **fields: object) -> None: ...


class Breaker(Protocol):
    """Named circuit breakers."""

    def call(self, name: str, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...


class Responses(Protocol):
    """Builds what HTTP front ends and Alexa accept as an answer."""

    def respond(
        self,
        kind: str,
        status: int = 200,
        body: object = None,
        headers: Mapping[str, object] | None = None,
        *,
        cookies: Sequence[str] = (),
        base64: bool = False,
    ) -> dict[str, object]: ...
    def alexa_response(
        self,
        speech: str | None = None,
        *,
        ssml: str | None = None,
        reprompt: str | None = None,
        card: Mapping[str, object] | None = None,
        end_session: bool | None = None,
        session: Mapping[str, object] | None = None,
        directives: Sequence[Mapping[str, object]] | None = None,
    ) -> dict[str, object]: ...
    def alexa_error_response(
        self,
        event: object,
        type: str,
        message: str,
        *,
        namespace: str = "Alexa",
        payload: Mapping[str, object] | None = None,
    ) -> dict[str, object]: ...
