"""How the benchmarks measure: timed loops that take turns, in processes of their own."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    # What is timed, by any name: a function, and how many operations one call does.
    Cases = Mapping[Any, tuple[Callable[[], Sequence[float]], int]]

Table = dict[str, dict[str, float]]  # numbers by row and column

ROOT = Path(__file__).resolve().parents[1]
# The hash of a text decides where it lies in a table, so it must not differ between runs.
HASH_SEED = "1"


def show_progress(what: str, done: int, of: int) -> None:
    """Say how far a measurement is: on a terminal in place, elsewhere every tenth."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{what} {done} of {of}" + ("\n" if done == of else ""))
    elif done % 10 == 0 or done == of:
        sys.stderr.write(f"{what} {done} of {of}\n")
    sys.stderr.flush()


def timed_loop(name: str, names: Mapping[str, object], *lines: str) -> Callable[..., float]:
    """Return what times the *lines* over a list called `keys`, and returns seconds.

    Each loop has a code object of its own, because the interpreter specialises the code of one
    loop for the types that it met there. The *names* are its local variables; a call may give
    others than these.
    """
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def loop(keys, now, {', '.join(names)}):\n    start = now()\n{body}"
    source += "    return now() - start\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, name, "exec"), namespace)
    loop = namespace["loop"]
    return lambda keys, **others: loop(keys, time.perf_counter, **{**names, **others})


def minima(cases: Cases, seconds: float) -> dict[Any, float]:
    """Return the least nanoseconds per operation of each case over many turns.

    A case is a function and the number of operations of one call, which returns the seconds of
    each part of it; the least of each part counts, so that a long call need not be undisturbed
    from end to end. All cases take turns, so that a slow moment of the machine hits them all.
    """
    best: dict[Hashable, list[float]] = {}
    end = time.perf_counter() + seconds
    settle()
    while True:
        take_turns(cases, best)
        if time.perf_counter() >= end:
            return nanoseconds(cases, best)


def settle() -> None:
    """Keep the garbage collector out of what follows."""
    gc.collect()
    gc.freeze()
    gc.disable()


def take_turns(cases: Cases, best: dict[Hashable, list[float]]) -> None:
    """Run each case twice and keep the least of each part.

    The second time the processor's caches hold what the case needs, if they can.
    """
    for case, (run, _) in cases.items():
        for parts in (run(), run()):
            best[case] = list(map(min, best.get(case, parts), parts))


def nanoseconds(cases: Cases, best: dict[Hashable, list[float]]) -> dict[Any, float]:
    """Return the nanoseconds per operation."""
    return {case: sum(best[case]) / count * 1e9 for case, (_, count) in cases.items()}


def least(runs: Sequence[Table]) -> Table:
    """Return the least of each number over several runs."""
    return {
        row: {column: min(run[row][column] for run in runs) for column in columns}
        for row, columns in runs[0].items()
    }


_CHILD = """\
import importlib, json, sys
module, task, arguments = sys.argv[1:]
print(json.dumps(getattr(importlib.import_module(module), task)(*json.loads(arguments))))
"""


def command(module: str, task: str, *arguments: object) -> list[str]:
    """Return the command that runs a function of a module of benchmarks and prints its result."""
    return [sys.executable, "-P", "-c", _CHILD, f"benchmarks.{module}", task, json.dumps(arguments)]


def settings(**variables: str) -> dict[str, str]:
    """Return a child's environment variables: only what is needed, the same at each run."""
    kept = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": str(ROOT), **variables}


def child(module: str, task: str, *arguments: object, **variables: str) -> Any:
    """Return the result of a function of a module of benchmarks, run in a process of its own."""
    ran = subprocess.run(
        command(module, task, *arguments),
        stdout=subprocess.PIPE,
        check=True,
        env=settings(**variables),
    )
    return json.loads(ran.stdout)


class Worker:
    """A function of a module of benchmarks in a process that works when it is told to.

    The function is a generator: it measures a turn between two yields, and its return value is the
    result. Workers that take turns share the machine's slow moments, and no memory.
    """

    def __init__(self, module: str, task: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            command("measure", "work", module, task, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=settings(),
        )

    def turn(self, word: str = "again") -> str:
        """Let it work once and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(word, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def result(self) -> Any:
        """Return the result and end the process."""
        answer = self.turn("end")
        self._process.communicate()
        if self._process.returncode:
            msg = f"a worker ended with {self._process.returncode}"
            raise RuntimeError(msg)
        return json.loads(answer)


def work(module: str, task: str, arguments: list[Any]) -> None:
    """Do a worker's part: a turn for each line, and the result at the last one."""
    turns = getattr(importlib.import_module(f"benchmarks.{module}"), task)(*arguments)
    for line in sys.stdin:
        if line == "end\n":
            break
        next(turns)
        print("done", flush=True)
    try:
        turns.send("end")
    except StopIteration as end:
        print(json.dumps(end.value), flush=True)
