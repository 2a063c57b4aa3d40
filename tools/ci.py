"""Run all that must hold before a change is merged: lint, types, test, budget, live, sanitize."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tools.instructions import counter
from tools.options import Parser
from tools.test import is_compiled

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77  # a tool's way to say that this machine lacks what it needs
NO_EXTENSION = "only both paths cover everything, and the extension is not compiled here"
NOT_COMPILED = "it is about the compiled code, and the extension is not compiled here"
NO_COUNTER = "nothing here counts instructions (no hardware counters, no valgrind)"


def parser() -> Parser:
    """Return the parser of `dev.py ci`."""
    return Parser("ci", f"{__doc__} A failing step does not stop the others.")


def main() -> int:
    """Run each step, print name and time, and sum up; the exit status is 1 if any failed."""
    parser().parse_args()
    compiled = is_compiled(dict(os.environ))
    # A step is a command, or the reason why it cannot run here.
    steps: dict[str, list[str] | str] = {
        "lint": ["tools.lint"],
        "types": ["tools.types"],
        "test": ["tools.test", *(["--coverage"] if compiled else [])],
        "coverage": ["tools.coverage"] if compiled else NO_EXTENSION,
        "budget": ["tools.budget"] if counter() else NO_COUNTER,
        "live": ["tools.live"],
        "sanitize": ["tools.sanitize", "--quick"] if compiled else NOT_COMPILED,
    }
    results = []
    for name, step in steps.items():
        print(f"\n==== {name}", flush=True)
        start = time.monotonic()
        outcome = perform(step)
        results.append(f"{name:10}{outcome:10}{time.monotonic() - start:6.1f} s")
        print(f"==== {results[-1]}", flush=True)
    print("\n" + "\n".join(results))
    return int(any("failed" in result for result in results))


def perform(step: list[str] | str) -> str:
    """Run one step and return its outcome in a word."""
    if isinstance(step, str):
        print(f"skipped: {step}")
        return "skipped"
    status = subprocess.run([sys.executable, "-m", *step], check=False, cwd=ROOT).returncode
    return {0: "passed", SKIPPED: "skipped"}.get(status, "failed")


if __name__ == "__main__":
    sys.exit(main())
