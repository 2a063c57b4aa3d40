"""Turn bytes into HTTP/1.1 requests; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

# A head may carry the X-Ray cause of an error, which the runtime client drops at 1 MiB.
HEAD_LIMIT = 2 * 1024 * 1024


class MalformedRequestError(Exception):
    """What arrived is not an HTTP/1.1 request."""


@dataclass(frozen=True)
class Request:
    """One HTTP request, header names in lower case; ``size`` counts what ``body`` left out too."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    size: int = 0


class RequestParser:
    """Collect bytes until they are whole requests, keeping at most *limit* bytes of each body."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.wants_continue = False
        """Whether the client holds a body back until it is told to go on."""
        self._buffer = bytearray()
        self._complete: list[Request] = []
        self._parsing = self._parse()
        next(self._parsing)

    def feed(self, data: bytes) -> list[Request]:
        """Take *data* and return the requests that it completes.

        Raises MalformedRequestError, after which the connection is of no further use.
        """
        self._buffer += data
        next(self._parsing)
        complete, self._complete = self._complete, []
        return complete

    def _parse(self) -> Generator[None]:
        while True:
            head = yield from self._until(b"\r\n\r\n")
            method, path, headers = _read_head(head)
            self.wants_continue = headers.get("expect", "").lower() == "100-continue"
            body = bytearray()
            if headers.get("transfer-encoding", "").lower() == "chunked":
                size = yield from self._chunks(body)
            else:
                size = _number(headers.get("content-length", "0"), 10)
                yield from self._take(size, body)
            self.wants_continue = False
            self._complete.append(Request(method, path, headers, bytes(body), size))

    def _until(self, mark: bytes) -> Generator[None, None, str]:
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                msg = f"a request head must be at most {HEAD_LIMIT} bytes"
                raise MalformedRequestError(msg)
            yield
        text = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + len(mark)]
        return text

    def _take(self, size: int, body: bytearray) -> Generator[None]:
        while size:
            if not self._buffer:
                yield
            part = self._buffer[:size]
            del self._buffer[:size]
            size -= len(part)
            body += part[: self.limit - len(body)]

    def _chunks(self, body: bytearray) -> Generator[None, None, int]:
        total = 0
        while size := _number((yield from self._until(b"\r\n")).partition(";")[0].strip(), 16):
            total += size
            yield from self._take(size, body)
            yield from self._until(b"\r\n")
        # Trailers: a streamed response that fails half-way names its error there.
        while (yield from self._until(b"\r\n")):
            pass
        return total


def _read_head(text: str) -> tuple[str, str, dict[str, str]]:
    start, *lines = text.split("\r\n")
    try:
        method, path, version = start.split(" ")
    except ValueError:
        version = ""
    if not version.startswith("HTTP/1."):
        msg = f"a request starts with METHOD PATH HTTP/1.1, not {start[:80]!r}"
        raise MalformedRequestError(msg)
    pairs = (line.partition(":") for line in lines)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _number(text: str, base: int) -> int:
    # int() alone would take signs, spaces and underscores.
    if text.isascii() and text.isalnum():
        try:
            return int(text, base)
        except ValueError:
            pass
    msg = f"a length must be a number in base {base}, not {text[:20]!r}"
    raise MalformedRequestError(msg)
