from __future__ import annotations

import json
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
