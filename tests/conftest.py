from __future__ import annotations

import gc
import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from gateway import _wiring
from gateway.testing import FakeClock, LambdaContext, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def fresh_gateway() -> Iterator[None]:
    reset()
    yield
    reset()


@pytest.fixture
def seeds() -> Callable[[int], Iterator[int]]:
    """Return a function giving the seeds of a fuzz test, so many of them, one after another.

    THRIFTGATE_FUZZ_SEED is the first one, else it is left to chance. With THRIFTGATE_FUZZ_SECONDS
    they go on for so long, whatever the number, and at least for one: 0 repeats a seed that failed.
    """

    def give(number: int) -> Iterator[int]:
        first = int(os.environ.get("THRIFTGATE_FUZZ_SEED") or int.from_bytes(os.urandom(4)))
        seconds = os.environ.get("THRIFTGATE_FUZZ_SECONDS")
        until = time.monotonic() + float(seconds or 0)
        done = 0
        while done < (1 if seconds else number) or time.monotonic() < until:
            # Shown when the test fails, and at once where a crash may take the process away.
            print(f"THRIFTGATE_FUZZ_SEED={first + done}", flush=True)  # noqa: T201
            yield first + done
            done += 1

    return give


@pytest.fixture
def only_told_collections() -> Iterator[None]:
    """Keep the collector from running destructors at a moment that no seed brings back."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def context() -> LambdaContext:
    return LambdaContext()


@pytest.fixture
def written(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[[], list[dict[str, object]]]:
    """Return a function giving the JSON lines written to standard output since its last call."""

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]

    return lines


@pytest.fixture
def path() -> str:
    """Return which implementation this run uses: "compiled" or "pure"."""
    return "pure" if _wiring.extension is None else "compiled"
