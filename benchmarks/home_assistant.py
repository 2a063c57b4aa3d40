"""What the bridge adds to a warm directive: its own code, and all of it next to raw urllib3."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.util import create_urllib3_context

from benchmarks.home import TOKEN, directive, running_home
from benchmarks.measure import show_progress
from benchmarks.report import Parser, count, write_json
from gateway import _wiring, get_gateway_stats
from gateway.testing import LambdaContext
from ha_extension.client import build_handler

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 100
LIMIT_US = 100.0


def parser() -> Parser:
    """Return the parser of `dev.py bench home_assistant`."""
    options = Parser("home_assistant", __doc__)
    options.add_argument(
        "--rounds", type=count, default=40, help=f"rounds of {CALLS} calls per case"
    )
    return options


def raw_forwarder(settings: dict[str, str]) -> Callable[[], object]:
    """Return a call that forwards the directive with urllib3 alone, on a kept connection."""
    tls = create_urllib3_context()
    tls.load_verify_locations(settings["HOME_ASSISTANT_CA_FILE"])
    pool = urllib3.PoolManager(ssl_context=tls)
    url = settings["HOME_ASSISTANT_URL"] + "/api/alexa/smart_home"
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    event = directive()
    return lambda: (
        pool.request(
            "POST", url, body=json.dumps(event).encode(), headers=headers, retries=False
        ).data
    )


def cases(settings: dict[str, str]) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name; each call handles one directive."""
    handler = build_handler(settings, time.perf_counter())
    event, context = directive(), LambdaContext()

    def bridge() -> object:
        return handler(event, context)

    bridge()
    real = _wiring.http_client.request
    response = real(
        "POST",
        settings["HOME_ASSISTANT_URL"] + "/api/alexa/smart_home",
        body=json.dumps(event),
        headers={"Authorization": f"Bearer {TOKEN}"},
        ca_file=settings["HOME_ASSISTANT_CA_FILE"],
    )

    def canned(*_: Any, **__: Any) -> object:
        return response

    def own_code() -> object:
        # The stand-in remembers methods in its own attributes.
        vars(_wiring.http_client)["request"] = canned
        try:
            return handler(event, context)
        finally:
            vars(_wiring.http_client)["request"] = real

    return {"bridge": bridge, "own code": own_code, "raw urllib3": raw_forwarder(settings)}


def minimum_us(call: Callable[[], object]) -> float:
    """Return the processor time of one call in microseconds, averaged over a round."""
    began = time.thread_time_ns()
    for _ in range(CALLS):
        call()
    return (time.thread_time_ns() - began) / CALLS / 1000


def main() -> int:
    """Measure the cases in turns and print their minima."""
    options = parser().parse_args()
    # The log lines are part of the work, but not of the report.
    out, sink = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    with tempfile.TemporaryDirectory() as folder, running_home(Path(folder)) as settings:
        os.dup2(sink, 1)
        try:
            measured = cases(settings)
            best = dict.fromkeys(measured, float("inf"))
            for done in range(options.rounds):
                for name, call in measured.items():
                    best[name] = min(best[name], minimum_us(call))
                show_progress("round", done + 1, options.rounds)
        finally:
            os.dup2(out, 1)
    path = get_gateway_stats()["path"]
    verdict = "PASS" if best["own code"] <= LIMIT_US else "MISS"
    if options.json:
        document = {"path": path, "us": best, "limit_us": LIMIT_US, "verdict": verdict}
        write_json(document, options.json)
    if options.json != "-":
        print(f"CPython {platform.python_version()}, {path} path, {options.rounds} rounds")
        print("processor time of one warm TurnOn over TLS, minimum of the rounds, microseconds")
        for name, value in best.items():
            print(f"  {name:14}{value:8.1f}")
        print(f"{verdict}  own code (HTTP answered at once): at most {LIMIT_US:.0f} us")
    return int(options.check and verdict == "MISS")


if __name__ == "__main__":
    sys.exit(main())
