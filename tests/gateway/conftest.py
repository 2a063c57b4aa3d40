from __future__ import annotations

import os
import subprocess
import sys
from typing import Protocol

import pytest


class Fresh(Protocol):
    def __call__(self, code: str, **environment: str) -> str: ...


@pytest.fixture
def fresh() -> Fresh:
    """Return a function that runs code in a fresh interpreter and returns what it printed."""

    def run(code: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
