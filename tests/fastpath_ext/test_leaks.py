"""Repeating the operations of the compiled code leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastpath_ext

pytestmark = pytest.mark.skipif(
    not fastpath_ext.COMPILED or "LD_PRELOAD" in os.environ,
    reason="there is nothing compiled, or a sanitizer in the place of malloc",
)
ROOT = Path(__file__).resolve().parents[2]


def count_leaks(*arguments: str) -> tuple[int, str]:
    # What measures coverage keeps something of each line.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "tools.sanitize_leaks", "--rounds", "50", *arguments],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_no_operation_leaves_anything_behind() -> None:
    status, printed = count_leaks()
    assert (status, printed.partition(" ")[2]) == (0, "scenarios leave nothing behind\n"), printed


@pytest.mark.parametrize("kind", ["blocks", "objects"])
def test_what_stays_behind_is_counted(kind: str) -> None:
    status, printed = count_leaks("--planted", f"planted {kind}")
    assert status == 1
    # Now and then the measurement itself gives one of them back.
    assert re.search(rf"planted {kind}: (?:0\.9|1\.\d) {kind} stay behind each time\n", printed)
