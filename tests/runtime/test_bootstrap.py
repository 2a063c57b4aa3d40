from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.cli import bootstrap


def test_the_task_root_comes_first_and_the_client_gets_the_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "booted_client.py").write_text("calls = []\nmain = calls.append\n")
    (tmp_path / "vendored").mkdir()
    (tmp_path / "more.pth").write_text("vendored\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    monkeypatch.setenv("LAMBDA_RUNTIME_DIR", "/var/runtime")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setenv("_HANDLER", "app.handler")
    bootstrap.main("booted_client")
    assert sys.path[0] == str(tmp_path)
    assert sys.path[-1] == str(tmp_path / "vendored")
    assert os.environ["PYTHONPATH"] == "/var/runtime"
    assert sys.modules["booted_client"].calls == [["bootstrap", "app.handler"]]
