"""Count the user instructions of a process, with whatever this machine offers."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PERF_RUNS = 9  # hardware counts vary by a few tenths of a per cent; the smallest is the cleanest


class CountingError(Exception):
    """A counted process failed; the text holds what it printed."""


def counter() -> Callable[[Sequence[str], Mapping[str, str]], int] | None:
    """Return the best way to count here: the processor's counters, else valgrind, else None."""
    if shutil.which("perf"):
        try:
            _perf(["true"], {})
        except CountingError:
            pass  # no counters in this virtual machine, or the kernel keeps them to itself
        else:
            return _smallest_of_perf
    return _valgrind if shutil.which("valgrind") else None


def _smallest_of_perf(command: Sequence[str], environment: Mapping[str, str]) -> int:
    return min(_perf(command, environment) for _ in range(PERF_RUNS))


def _perf(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Count with the processor's own counters."""
    perf = ["perf", "stat", "-x", ";", "-e", "instructions:u", "--"]
    return _count(r"^(\d+);;instructions:u", [*perf, *command], environment)


def _valgrind(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Count by translating every instruction: a hundred times slower, and repeatable to the last.

    Of valgrind's tools cachegrind without its cache simulation is the quickest one that counts.
    """
    valgrind = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
    ]
    return _count(r"I +refs: +([\d,]+)", [*valgrind, *command], environment)


def _count(pattern: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    program = shutil.which(command[0]) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = re.search(pattern, done.stderr, re.MULTILINE)
    if done.returncode or not found:
        printed = [line for line in done.stderr.splitlines() if not line.startswith(("==", "--"))]
        raise CountingError("\n".join(printed))
    return int(found[1].replace(",", ""))
