"""Run a demo home until it is interrupted: `python -m ha_extension.demo_home`."""

from __future__ import annotations

import argparse
import os
import signal
import ssl
import sys
import threading
from typing import TYPE_CHECKING

from ha_extension.demo_home import DemoHome

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a demo home, say its URL on one line, and stop at SIGINT or SIGTERM."""
    options = _parser().parse_args(arguments)
    tls = None
    if options.tls_cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with DemoHome(token=options.token, port=options.port, tls=tls) as home:
        if options.token_file:
            _write_private(options.token_file, home.token)
        print(f"demo home ready at {home.url}", flush=True)  # noqa: T201  the caller waits for it
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ha_extension.demo_home",
        description="A small home that answers Alexa's directives as Home Assistant does.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--token", default="", help="the access token; default: a random one")
    parser.add_argument("--token-file", metavar="FILE", help="write the token there, for your eyes")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM): speak HTTPS")
    parser.add_argument("--tls-key", metavar="FILE", help="its key, unless in the same file")
    return parser


def _write_private(path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(path, flags, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
