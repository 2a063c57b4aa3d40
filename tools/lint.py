"""Check style, format, the import contracts and the repository's own rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.options import Parser

ROOT = Path(__file__).resolve().parent.parent
RUFF = ["-m", "ruff"]
# The module importlinter.cli runs nothing by itself, and a console script has a path that breaks
# when the checkout moves.
CONTRACTS = "import sys, importlinter.cli as c; sys.exit(c.lint_imports(no_logo=True))"
CHECKS = {
    "ruff check": [*RUFF, "check", "."],
    "ruff format --check": [*RUFF, "format", "--check", "."],
    "import contracts": ["-c", CONTRACTS],
    "rules": ["-m", "tools.rules"],
}


def parser() -> Parser:
    """Return the parser of `dev.py lint`."""
    options = Parser("lint", __doc__ or "")
    options.add_argument("--fix", action="store_true", help="let ruff mend and format first")
    return options


def main() -> int:
    """Run every check, also after one has failed, and return the exit status."""
    if parser().parse_args().fix:
        _python(*RUFF, "check", "--fix", "--quiet", ".")
        _python(*RUFF, "format", "--quiet", ".")
    failed = []
    for name, command in CHECKS.items():
        print(f"== {name}", flush=True)
        if _python(*command):
            failed.append(name)
    print(f"lint: {', '.join(failed)} failed" if failed else "lint: clean")
    return int(bool(failed))


def _python(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
