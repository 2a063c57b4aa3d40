"""Combine what the passes and their subprocesses covered, and hold it against the gate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Combine, report, and return the exit status of the report."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "--quiet"], check=False, cwd=ROOT)
    return subprocess.run([*coverage, "report"], check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
