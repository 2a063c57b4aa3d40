"""Perform a real invocation: Alexa's directives through the runtime client, the bridge and a home.

Without options: Discovery, then TurnOn of a light, against the embedded demo home.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.options import Parser

if TYPE_CHECKING:
    from argparse import Namespace

PLACEHOLDER = "TOKEN"


def parser() -> Parser:
    """Return the parser of `dev.py run`."""
    options = Parser("run", __doc__ or "")
    options.add_argument("--home", metavar="URL", help="a real Home Assistant instead of the demo")
    options.add_argument("--token", metavar="T", help="its long-lived access token")
    options.add_argument(
        "--event",
        metavar="FILE",
        action="append",
        type=Path,
        help=f'send this event (JSON) instead; the token "{PLACEHOLDER}" becomes the home\'s',
    )
    options.add_argument("--pure", action="store_true", help="take the pure path")
    options.add_argument(
        "--client",
        choices=("auto", "awslambdaric", "pure"),
        default="auto",
        help="the runtime client: the managed one (Linux only) or our own of the same protocol",
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def read_options() -> Namespace:
    """Parse and check the command line."""
    options = parser()
    given = options.parse_args()
    if (given.home is None) != (given.token is None):
        options.error("--home and --token belong together")
    given.events = []
    for path in given.event or ():
        try:
            given.events.append(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            options.error(f"--event {path} cannot be read: {error.strerror}")
        except RecursionError:
            options.error(f"--event {path} is not JSON: it is nested too deeply")
        except ValueError as error:
            options.error(f"--event {path} is not JSON: {error}")
    return given


def main() -> int:
    """Check the command line, then run the events."""
    options = read_options()
    # Needs the environment; the command line is judged before there is one.
    from tools import invocation

    return invocation.perform(options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
