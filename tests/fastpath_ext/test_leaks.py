"""Repeating the operations of the compiled code leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import sanitize_leaks

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
    assert status == 0, printed
    assert_nothing_stays_behind(printed, len(sanitize_leaks.SCENARIOS))


def assert_nothing_stays_behind(printed: str, scenarios: int) -> None:
    # A C library that does not count its bytes is a line of its own, before this one.
    assert printed.splitlines()[-1] == sanitize_leaks.nothing_behind(scenarios), printed
    assert scenarios > 0


def test_bytes_are_left_out_where_the_c_library_does_not_count_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sanitize_leaks, "byte_counter", lambda: None)
    monkeypatch.setattr(sys, "argv", ["leaks", "--planted", "--rounds", "50", "planted bytes"])
    assert sanitize_leaks.main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("the C library does not tell what malloc handed out, so its bytes")
    assert_nothing_stays_behind(printed, 1)
    assert printed.endswith("\n1 scenario leaves nothing behind\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nosuch"], "there is no scenario 'nosuch'; choose from: store (lru), store (s3fifo), "),
        (["--planted", "handles"], "there is no scenario 'handles'; choose from: planted blocks, "),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
    ],
)
def test_what_would_count_nothing_is_refused(arguments: list[str], complaint: str) -> None:
    status, printed = count_leaks(*arguments)
    assert status == 2
    assert f"sanitize_leaks: error: {complaint}" in printed


@pytest.mark.parametrize("kind", ["blocks", "objects"])
def test_what_stays_behind_is_counted(kind: str) -> None:
    status, printed = count_leaks("--planted", f"planted {kind}")
    assert status == 1
    # Now and then the measurement itself gives one of them back.
    assert re.search(rf"planted {kind}: (?:0\.9|1\.\d) {kind} stay behind each time\n", printed)
