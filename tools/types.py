"""Check the types of everything with mypy --strict."""  # noqa: A005 - named after the verb

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.options import Parser

ROOT = Path(__file__).resolve().parent.parent


def parser() -> Parser:
    """Return the parser of `dev.py types`; options go to mypy."""
    return Parser("types", f"{__doc__} Arguments go to mypy.", passes_on=True)


def main() -> int:
    """Run mypy and return its exit status."""
    _, arguments = parser().parse_known_args()
    command = [sys.executable, "-m", "mypy", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
