"""What the tests of the local Lambda share: a cache for the runtime folder, and functions."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.local_runtime import LocalRuntime


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runtime-cache")


@pytest.fixture(params=["awslambdaric", "pure"])
def client(request: pytest.FixtureRequest) -> str:
    if request.param == "awslambdaric":
        pytest.importorskip("awslambdaric", reason="awslambdaric exists for Linux only")
    return str(request.param)


@pytest.fixture
def task_root(tmp_path: Path) -> Path:
    root = tmp_path / "task"
    root.mkdir()
    return root


@pytest.fixture
def function(task_root: Path, cache: Path, client: str) -> Any:
    """Return a function that makes a LocalRuntime of the source of app.py."""

    def make(source: str, **options: Any) -> LocalRuntime:
        (task_root / "app.py").write_text(textwrap.dedent(source), encoding="utf-8")
        options = {"client": client, "cache_dir": cache, **options}
        return LocalRuntime(task_root, "app.handler", **options)

    return make
