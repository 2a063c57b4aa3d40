"""Ids, timestamps, JSON with limits, standard bodies, checks of text and lookups by path."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from json import JSONDecodeError, JSONDecoder, JSONEncoder, dumps
from math import isfinite
from threading import Lock
from types import SimpleNamespace

from cores.errors import TooLargeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from cores.ports import Clock, Current

_RANDOM_BITS = 80


class Utility:
    """Small things that most functions need. Safe under threads.

    The id of the invocation in *current* goes into the standard bodies.
    """

    def __init__(
        self,
        *,
        clock: Clock = time.time,
        current: Current = SimpleNamespace(invocation=None),  # noqa: B008  never written here
    ) -> None:
        self._clock = clock
        self._current = current
        self._decoder = JSONDecoder(parse_constant=_refuse_constant)
        self._encoder = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._lock = Lock()
        self._last_id = 0

    def generate_correlation_id(self) -> str:
        """Return a new id: 32 hexadecimal digits that sort by the time they were made.

        48 bits of milliseconds, then 80 random bits. In one process each is larger than the one
        before, even within a millisecond and when the clock is set back.
        """
        random = os.urandom(_RANDOM_BITS // 8)
        number = (int(self._clock() * 1000) << _RANDOM_BITS) + int.from_bytes(random)
        with self._lock:
            if number <= self._last_id:
                # Still random enough that two forks of one process do not meet.
                number = self._last_id + 1 + int.from_bytes(random[:8])
            self._last_id = number
        return f"{number:032x}"

    def utc_timestamp(self, when: float | None = None) -> str:
        """Return *when*, in seconds since the epoch, as RFC 3339 in UTC; None means now.

        With milliseconds, cut and not rounded: ``2026-01-31T23:59:59.999Z``.
        """
        moment = self._clock() if when is None else when
        if not isinstance(moment, (int, float)):
            msg = f"when must be a number of seconds since the epoch, not {type(when).__name__}"
            raise TypeError(msg)
        year = 0
        try:
            # First the fraction, which loses nothing to the size of the whole number.
            seconds, fraction = divmod(moment, 1)
            carry, micros = divmod(round(fraction * 1e6), 1_000_000)
            year, month, day, hour, minute, second = time.gmtime(seconds + carry)[:6]
        except (OverflowError, OSError, ValueError):
            pass
        if not 1 <= year <= 9999:  # noqa: PLR2004  what RFC 3339 can write
            msg = f"when must be seconds since the epoch, in the years 1 to 9999, not {when!r}"
            raise ValueError(msg)
        date = f"{year:04}-{month:02}-{day:02}"
        return f"{date}T{hour:02}:{minute:02}:{second:02}.{micros // 1000:03}Z"

    def parse_json(
        self, text: str | bytes, *, max_bytes: int = 6_291_456, max_depth: int = 100
    ) -> Any:  # Any: what the text says
        """Return the value that *text*, JSON in UTF-8, stands for.

        Raises ``TooLargeError`` for more than *max_bytes* bytes and for arrays and objects nested
        deeper than *max_depth*, ``ValueError`` with the position for what is not JSON (NaN and
        Infinity are not). No message and no attribute of an error holds a part of the text.
        """
        for name, limit in (("max_bytes", max_bytes), ("max_depth", max_depth)):
            if limit < 1:
                msg = f"{name} must be at least 1, not {limit!r}"
                raise ValueError(msg)
        if not isinstance(text, (str, bytes, bytearray)):
            msg = f"text must be str or bytes, not {type(text).__name__}"
            raise TypeError(msg)
        size = len(text)
        if isinstance(text, str) and size <= max_bytes < 4 * size:
            size = len(text.encode("utf-8", "surrogatepass"))
        if size > max_bytes:
            msg = f"JSON text must have at most {max_bytes} bytes, not {size}"
            raise TooLargeError(msg)
        too_deep = f"JSON text must be nested at most {max_depth} deep"
        try:
            value, problem = self._decode(text)
        except RecursionError:
            raise TooLargeError(too_deep) from None
        if problem:
            # Raised out here because the errors caught in there hold the whole text.
            raise ValueError(problem)
        if _is_deeper(value, max_depth):
            raise TooLargeError(too_deep)
        return value

    def dump_json(self, value: object) -> str:
        """Return *value* as JSON without blanks; always valid, also with half a surrogate pair.

        Takes None, bool, int, float, str, and lists, tuples and dicts of these. What JSON cannot
        hold is refused with its place: ``TypeError`` for another type, ``ValueError`` for NaN,
        Infinity, and what contains itself or is nested too deep.
        """
        try:
            text = self._encoder.encode(value)
        except RecursionError:
            msg = "value is nested too deep for JSON"
            raise ValueError(msg) from None
        except (TypeError, ValueError) as error:
            msg = _problem(value, "value", ()) or str(error)
            raise (TypeError if isinstance(error, TypeError) else ValueError)(msg) from error
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                text = dumps(value, allow_nan=False, separators=(",", ":"))
        return text

    def success_response(
        self, data: object = None, *, message: str | None = None
    ) -> dict[str, Any]:
        """Return the standard body for a success, to be passed to ``respond`` or ``dump_json``.

        Keys: ``success`` (True), ``data``, ``message`` if given, ``timestamp``, and inside an
        invocation ``correlation_id``.
        """
        body = {"success": True, "data": data}
        if message is not None:
            body["message"] = message
        return self._complete(body)

    def error_response(
        self, message: str, code: str = "INTERNAL_ERROR", *, details: object = None
    ) -> dict[str, Any]:
        """Return the standard body for a failure, to be passed to ``respond`` or ``dump_json``.

        Keys: ``success`` (False), ``error`` (``code``, ``message``, ``details`` if given),
        ``timestamp``, and inside an invocation ``correlation_id``. The caller sees *message*.
        """
        for name, value in (("message", message), ("code", code)):
            if not isinstance(value, str) or not value:
                msg = f"{name} must be a text that is not empty, not {value!r}"
                raise TypeError(msg)
        error: dict[str, object] = {"code": code, "message": message}
        if details is not None:
            error["details"] = details
        return self._complete({"success": False, "error": error})

    @staticmethod
    def validate_string(
        value: object,
        *,
        name: str = "value",
        min_length: int = 0,
        max_length: int = 10_000,
        pattern: str | re.Pattern[str] | None = None,
        allow_control: bool = False,
    ) -> str:
        """Return *value* if it is a text that fits, else say what is wrong with *name*.

        Lengths are in characters. *pattern* must match all of it. Control characters (Unicode
        category Cc: line ends and tabs too) are refused unless *allow_control*.
        Raises ``TypeError`` for another type and ``ValueError`` otherwise; the message does not
        hold the value.
        """
        if not 0 <= min_length <= max_length:
            msg = f"min_length must be from 0 to max_length, not {min_length!r} ({max_length!r})"
            raise ValueError(msg)
        if not isinstance(value, str):
            msg = f"{name} must be text, not {type(value).__name__}"
            raise TypeError(msg)
        if not min_length <= len(value) <= max_length:
            msg = f"{name} must have {min_length} to {max_length} characters, not {len(value)}"
            raise ValueError(msg)
        if not allow_control and not value.isprintable():
            for position, character in enumerate(value):
                if character < " " or "\x7f" <= character <= "\x9f":
                    msg = f"{name} must not have a control character, as at position {position}"
                    raise ValueError(msg)
        if pattern is not None and re.fullmatch(pattern, value) is None:
            text = pattern if isinstance(pattern, str) else pattern.pattern
            msg = f"{name} must match the pattern {text!r}"
            raise ValueError(msg)
        return value

    @staticmethod
    def deep_get(obj: object, path: str | Sequence[str | int], default: Any = None) -> Any:
        """Return what lies at *path* inside *obj*, or *default* when there is nothing.

        *path* is dotted, with list indexes as ``items.0.id`` or ``items[0].id``, negative ones
        from the end; or it is a sequence of keys and indexes, for keys that hold a dot.
        A None that is there is returned. Raises ``ValueError`` for a path that cannot be read.

        >>> Utility.deep_get({"items": [{"id": 7}]}, "items[0].id")
        7
        """
        for step in _steps(path) if isinstance(path, str) else path:
            if isinstance(obj, Mapping):
                if step not in obj:
                    return default
                obj = obj[step]
            elif isinstance(obj, (list, tuple)):
                if isinstance(step, str) and not _is_integer(step):
                    return default
                try:
                    obj = obj[int(step)]
                except IndexError:
                    return default
            else:
                return default
        return obj

    def _decode(self, text: str | bytes) -> tuple[Any, str]:
        """Return the value and "", or None and what is wrong with the text."""
        try:
            if not isinstance(text, str):
                text = text.decode("utf-8-sig")
            return self._decoder.decode(text), ""
        except UnicodeDecodeError as error:
            return None, f"text is not UTF-8 at byte {error.start}"
        except JSONDecodeError as error:
            return (
                None,
                f"text is not JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            )
        except ValueError as error:
            return None, f"text is not JSON: {error}"

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        body["timestamp"] = self.utc_timestamp()
        invocation = self._current.invocation
        if invocation is not None:
            body["correlation_id"] = invocation.correlation_id
        return body


def _refuse_constant(name: str) -> NoReturn:
    msg = f"it has no number {name}"
    raise ValueError(msg)


def _is_deeper(value: object, limit: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level and depth < limit:
        depth += 1
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, (dict, list))
        ]
    return bool(level)


def _problem(value: object, path: str, parents: tuple[int, ...]) -> str | None:
    """Return what JSON cannot hold inside *value* and where, or None."""
    if isinstance(value, float):
        return None if isfinite(value) else f"{path} is {value!r}, a number that JSON does not have"
    if value is None or isinstance(value, (str, int)):
        return None
    if id(value) in parents:
        return f"{path} contains itself"
    members: Any
    if isinstance(value, dict):
        for key in value:
            if key is not None and not isinstance(key, (str, int, float)):
                return f"{path} has a key of type {type(key).__name__}, which JSON cannot hold"
            if isinstance(key, float) and not isfinite(key):
                return f"{path} has the key {key!r}, a number that JSON does not have"
        members = ((f"{path}.{key}", member) for key, member in value.items())
    elif isinstance(value, (list, tuple)):
        members = ((f"{path}[{index}]", member) for index, member in enumerate(value))
    else:
        return f"{path} is of type {type(value).__name__}, which JSON cannot hold"
    found = (_problem(member, name, (*parents, id(value))) for name, member in members)
    return next(filter(None, found), None)


def _steps(path: str) -> list[str]:
    steps = path.replace("[", ".").replace("]", "").removeprefix(".").split(".")
    if "" in steps:
        msg = f"path must read like 'a.b[0].c', not {path!r}"
        raise ValueError(msg)
    return steps


def _is_integer(step: str) -> bool:
    return step.removeprefix("-").isdecimal()
