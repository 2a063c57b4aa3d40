"""Run tests/live against a real Home Assistant, over HTTP and over TLS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tools import installation, live_environment, live_server
from tools.options import Parser
from tools.test import absolute

ROOT = Path(__file__).resolve().parent.parent
NEVER_UP = 3
SKIPPED = 77  # this machine lacks what it needs


def parser() -> Parser:
    """Return the parser of `dev.py live`; what it does not know goes to pytest."""
    options = Parser("live", f"{__doc__} Other arguments go to pytest.", passes_on=True)
    options.add_argument(
        "--python",
        metavar="PY",
        help="the interpreter that Home Assistant is to run on (default: the newest that fits)",
    )
    options.add_argument(
        "--scheme",
        choices=["http", "https"],
        help="how to talk to the server (default: all tests over the one, then over the other)",
    )
    options.add_argument(
        "--log", type=Path, metavar="FILE", help="keep the server's output in FILE"
    )
    return options


def main() -> int:
    """Build the server if it is not there, run the tests, and return pytest's exit status.

    Returns 3 if the server never came up, and 77 where no server can be had.
    """
    options, rest = parser().parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    try:
        python = live_environment.prepare(ROOT, options.python)
    except live_environment.UnavailableError as error:
        installation.say(f"live tests skipped: {error}")
        return SKIPPED
    except installation.PreparationError as error:
        installation.say(f"dev.py live: {error}")
        return 1
    statuses = [
        run(python, scheme, rest, options.log)
        for scheme in ("http", "https")
        if options.scheme in {None, scheme}
    ]
    return next((status for status in statuses if status), 0)


def run(python: Path, scheme: str, arguments: list[str], log: Path | None) -> int:
    """Start a server of its own, run the tests against it, and return pytest's exit status."""
    with tempfile.TemporaryDirectory(prefix="live-", ignore_cleanup_errors=True) as folder:
        server = live_server.Server(python, Path(folder), scheme, log)
        try:
            with server:
                installation.say(f"Home Assistant {server.version} is running at {server.url}")
                return subprocess.run(
                    [sys.executable, "-m", "pytest", *pytest_options(), *selected(arguments)],
                    check=False,
                    cwd=ROOT,
                    env=os.environ | server.environment(),
                ).returncode
        except live_server.NeverUpError as error:
            installation.say(f"dev.py live: {error}")
            return NEVER_UP


def pytest_options() -> list[str]:
    """Return the repository's pytest settings, without the one that leaves out the live tests."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    kept = [each for each in settings["ini_options"]["addopts"] if "tests/live" not in each]
    return ["-o", f"addopts={' '.join(kept)}"]


def selected(arguments: list[str]) -> list[str]:
    """Return pytest's arguments; without a path among them, all live tests are meant."""
    found = [absolute(argument) for argument in arguments]
    return found if found != arguments else ["tests/live", *arguments]


if __name__ == "__main__":
    sys.exit(main())
