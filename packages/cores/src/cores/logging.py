"""Structured logs: one JSON object per line, one write per invocation."""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from json import JSONEncoder
from json.encoder import encode_basestring
from math import isfinite
from threading import Lock
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cores.ports import Clock, Current, Invocation, Variable, Watch, Write

    # The invocation that the keys were bound in, and the keys.
    Bound = tuple[Invocation | None, dict[str, object]]

DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50

LEVELS = {
    "TRACE": DEBUG,
    "DEBUG": DEBUG,
    "INFO": INFO,
    "WARN": WARNING,
    "WARNING": WARNING,
    "ERROR": ERROR,
    "FATAL": CRITICAL,
    "CRITICAL": CRITICAL,
}

# Fields of every line. A caller's key of the same name is kept with this prefix.
RESERVED = frozenset(
    ("timestamp", "level", "message", "correlation_id", "request_id", "function", "cold_start")
)
CLASH_PREFIX = "field_"

# A key is secret when it ends like one of these, in any letter case, singular or plural.
SECRET_ENDINGS = (
    "authorization",
    "access_key",
    "accesskey",
    "api_key",
    "api-key",
    "apikey",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "privatekey",
    "secret",
    "secret_key",
    "secretkey",
    "token",
    "_pin",
    "-pin",
    "pin_code",
    "pincode",
)
REDACTED = "[redacted]"

MAX_DEPTH = 8
MAX_ITEMS = 200
MAX_TEXT = 8192

_WIDE = 1 << 63  # a number this far from zero is logged as text: readers of JSON would round it


class Logger:
    """Writes structured lines, buffering what is not urgent until the invocation ends.

    Lines at WARNING and above, lines outside an invocation (INIT included) and lines after the
    flush before the deadline are written at once; the others are one write at :meth:`flush`, or
    when the buffer is full. A process that is killed can lose the buffer and nothing else;
    ``buffer_bytes=0`` writes each line.
    Every line is valid JSON whatever the fields hold. Values under secret-looking keys and
    bearer tokens inside any text are redacted. Safe under threads.
    """

    def __init__(
        self,
        *,
        write: Write = lambda _data: None,
        level: str = "INFO",
        buffer_bytes: int = 65_536,
        flush_margin: float = 0.1,
        clock: Clock = time.time,
        current: Current = SimpleNamespace(invocation=None),  # noqa: B008  never written here
        watch: Watch = SimpleNamespace(start=lambda: None),  # noqa: B008
        variable: Variable[Bound] | None = None,
    ) -> None:
        if level.upper() not in LEVELS:
            msg = f"log level must be one of {', '.join(LEVELS)}, not {level!r}"
            raise ValueError(msg)
        self._threshold = LEVELS[level.upper()]
        self._write = write
        self._buffer_bytes = buffer_bytes
        self._flush_margin = flush_margin
        self._clock = clock
        self._current = current
        self._watch = watch
        self._variable: Variable[Bound] = _variable() if variable is None else variable
        self._has_bound = False  # until then the variable, which may be lazy, is left alone
        self._lines: list[str] = []
        self._size = 0
        self._lock = Lock()
        self._second = -1
        self._stamp = ""
        # The invocation, what its lines begin with, and when buffering ends. One tuple, so that
        # a thread never sees the prefix of another invocation.
        self._entered: tuple[Invocation | None, str, float] = (None, "", 0.0)
        self._counts = dict.fromkeys(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), 0)
        self._bytes = 0
        self._lost = 0

    def debug(self, message: str, /, **fields: object) -> None:
        """Log *message* at DEBUG with *fields*."""
        if self._threshold <= DEBUG:
            self._log("DEBUG", DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Log *message* at INFO with *fields*."""
        if self._threshold <= INFO:
            self._log("INFO", INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Log *message* at WARNING with *fields*, written at once."""
        if self._threshold <= WARNING:
            self._log("WARNING", WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Log *message* at ERROR with *fields*, written at once."""
        if self._threshold <= ERROR:
            self._log("ERROR", ERROR, message, fields)

    def critical(self, message: str, /, **fields: object) -> None:
        """Log *message* at CRITICAL with *fields*, written at once."""
        self._log("CRITICAL", CRITICAL, message, fields)

    def exception(
        self, message: str, /, *, error: BaseException | None = None, **fields: object
    ) -> None:
        """Log *message* at ERROR with the type, message, chain and location of an exception.

        *error* defaults to the exception being handled. The stack is file, line and function of
        the innermost frames, without source text and without values.
        """
        if error is None:
            error = sys.exception()
        if self._threshold <= ERROR:
            self._log("ERROR", ERROR, message, {**fields, "exception": error and describe(error)})

    def context(self, **fields: object) -> ExitStack:
        """Add *fields* to every line from here to the end of the invocation.

        As a context manager, to the end of the block. Bound fields never reach another invocation.
        Given a ``ContextVar`` as *variable*, as the gateway does, each thread and task has its own.
        """
        owner, held = self._variable.get((None, {}))
        invocation = self._current.invocation
        if owner is not invocation:
            held = {}
        self._has_bound = True
        self._variable.set((invocation, {**held, **fields}))
        block = ExitStack()
        block.callback(self._variable.set, (invocation, held))
        return block

    def flush(self) -> None:
        """Write the buffered lines. Does nothing when there are none."""
        with self._lock:
            lines = self._lines
            count = len(lines)
            if not count:
                return
            # Other threads may append meanwhile: only what was joined is removed.
            data = "".join(lines[:count]).encode("utf-8", "backslashreplace")
            del lines[:count]
            self._size = 0
            try:
                self._write(data)
                self._bytes += len(data)
            except OSError:
                self._lost += count

    def forget(self) -> None:
        """Drop what is buffered: in a forked child, where the parent will write it."""
        self._lock = Lock()
        self._lines = []
        self._size = 0

    def stats(self) -> dict[str, object]:
        """Return lines by level, bytes written, lines buffered and lines lost to a failed write."""
        return {
            "lines": dict(self._counts),
            "bytes": self._bytes,
            "buffered": len(self._lines),
            "lost": self._lost,
        }

    def _log(self, name: str, level: int, message: str, fields: Mapping[str, object]) -> None:
        now = self._clock()
        invocation = self._current.invocation
        owner, prefix, flush_at = self._entered
        if owner is not invocation:
            owner, prefix, flush_at = self._entered = self._enter(invocation)
        second = int(now)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        if self._has_bound:
            binder, held = self._variable.get((None, {}))
            if binder is invocation and held:
                fields = {**held, **fields}
        line = (
            f'{{"timestamp":"{self._stamp}.{int((now - second) * 1000):03d}Z","level":"{name}"'
            f',"message":{text(message)}{prefix}{encode(fields) if fields else ""}}}\n'
        )
        self._counts[name] += 1
        self._lines.append(line)
        self._size += len(line)
        if level >= WARNING or now >= flush_at or self._size >= self._buffer_bytes:
            self.flush()
        else:
            self._watch.start()

    def _enter(self, invocation: Invocation | None) -> tuple[Invocation | None, str, float]:
        """Encode once what every line of *invocation* carries."""
        if invocation is None:
            return None, "", 0.0
        prefix = (
            f',"correlation_id":{text(invocation.correlation_id)}'
            f',"request_id":{text(invocation.request_id)}'
            f',"function":{text(invocation.function_name)}'
            f',"cold_start":{"true" if invocation.cold_start else "false"}'
        )
        return invocation, prefix, invocation.deadline - self._flush_margin


def _variable() -> Variable[Bound]:
    """Return where a logger that is used alone keeps bound fields: one place for all threads."""
    held: list[Bound] = []
    return SimpleNamespace(
        get=lambda default: held[-1] if held else default,
        set=lambda value: held.__setitem__(slice(None), [value]),
    )


def encode(fields: Mapping[str, object]) -> str:
    """Return *fields* as the tail of a JSON object: ``,"name":value`` for each."""
    parts = []
    for key, value in fields.items():
        kind = type(value)
        name = f"{CLASH_PREFIX}{key}" if key in RESERVED else key
        if is_secret(key):
            rendered = f'"{REDACTED}"'
        elif kind is str:
            rendered = text(value)  # type: ignore[arg-type]  # narrowed by `kind`
        elif value is True or value is False:
            rendered = "true" if value else "false"
        elif kind is int or kind is float:
            rendered = _number(value)  # type: ignore[arg-type]  # narrowed by `kind`
        else:
            rendered = _ENCODER.encode(plain(value))
        parts.append(f",{text(name)}:{rendered}")
    return "".join(parts)


def _number(value: float) -> str:
    if -_WIDE < value < _WIDE:
        return repr(value)
    return f'"{hex(value) if isinstance(value, int) else value}"'


def text(value: str) -> str:
    """Return *value* as a JSON string without credentials, cut to ``MAX_TEXT`` characters."""
    return encode_basestring(clean(value))


def clean(value: str) -> str:
    """Return *value* without bearer tokens and JSON web tokens, cut to ``MAX_TEXT`` characters."""
    if not isinstance(value, str):
        value = str(value)
    if len(value) > MAX_TEXT:
        value = f"{value[:MAX_TEXT]}… [{len(value) - MAX_TEXT} more characters]"
    lower = value.lower()
    if "bearer" in lower or "basic" in lower or "eyj" in lower:
        value = _without_tokens(value)
    return value


def _without_tokens(value: str) -> str:
    """Replace what follows the name of a scheme, and what looks like a JSON web token."""
    value = re.sub(r"(?i)\b(bearer|basic)\b([\s:=]+)[^\s,;\"']+", rf"\1\2{REDACTED}", value)
    return re.sub(r"eyJ[\w-]+\.[\w.-]*|eyJ[\w-]{16,}", REDACTED, value)


def is_secret(key: str) -> bool:
    """Tell whether *key* names a secret: ``pin``, ``access_token``, ``X-Api-Key``, ``userPin``."""
    lower = key.lower().rstrip("s")
    return lower.endswith(SECRET_ENDINGS) or lower == "pin" or key.endswith(("Pin", "PIN"))


def describe(error: BaseException) -> dict[str, object]:
    """Return type, message, chain and innermost frames of *error*."""
    chain = []
    cause: BaseException | None = error
    seen = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        chain.append(f"{_qualified(type(cause))}: {_words(cause)}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-10, lookup_lines=False
    )
    stack = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return {
        "type": _qualified(type(error)),
        "message": _words(error),
        "location": stack[-1] if stack else None,
        "chain": chain[1:],
        "stack": stack,
    }


def _words(error: BaseException) -> str:
    """Return the message of *error*, whose class may be anybody's."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001  the error that is logged matters more
        return f"[no message: {type(failure).__name__}]"


def plain(value: object, depth: int = 0) -> object:
    """Return *value* as something that JSON can hold, redacted, bounded, never failing."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        return int(value) if abs(value) < _WIDE else hex(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else str(float(value))
    if depth >= MAX_DEPTH:
        return f"[{type(value).__name__} nested deeper than {MAX_DEPTH}]"
    try:
        return _structure(value, depth + 1)
    except Exception as error:  # noqa: BLE001  a value of the caller's, whose methods may raise anything
        return f"[{type(value).__name__} that could not be logged: {type(error).__name__}]"


def _structure(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        return _members(dict(value), depth)
    names = getattr(value, "_fields", None)
    if names is not None and isinstance(value, tuple):
        return _members(dict(zip(names, value, strict=True)), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(item, depth) for item in list(value)[:MAX_ITEMS]]
        if len(value) > MAX_ITEMS:
            items.append(f"[{len(value) - MAX_ITEMS} more]")
        return items
    if isinstance(value, (bytes, bytearray, memoryview)):
        return clean(bytes(value[:MAX_TEXT]).decode("utf-8", "backslashreplace"))
    if isinstance(value, BaseException):
        return clean(f"{_qualified(type(value))}: {value}")
    # datetime, dataclass and named enum members by what they can do: importing them costs.
    moment = getattr(value, "isoformat", None)
    if callable(moment):
        return str(moment())
    names = getattr(value, "__dataclass_fields__", None)
    if names is not None and not isinstance(value, type):
        return _members({name: getattr(value, name) for name in names}, depth)
    if isinstance(value, SimpleNamespace):
        return _members(vars(value), depth)
    return clean(str(value))


def _members(value: dict[Any, object], depth: int) -> dict[str, object]:
    members: dict[str, object] = {}
    for key, item in list(value.items())[:MAX_ITEMS]:
        words = key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)
        name = clean(words)
        members[name] = REDACTED if is_secret(name) else plain(item, depth)
    if len(value) > MAX_ITEMS:
        members["…"] = f"{len(value) - MAX_ITEMS} more"
    return members


def _qualified(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


_ENCODER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))
