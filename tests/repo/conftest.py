from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "packages",
    "tests",
    "tools",
    "docs",
    "examples",
    ".github",
    "dev.py",
    "pyproject.toml",
    "README.md",
)


class Tree:
    """A copy of the repository in which a test may plant a fault."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, file: str, text: str) -> None:
        """Append text to a file, which is made if it is not there."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r} to be replaced"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python so that the packages are those of the copy, whatever is installed."""
        sources = [str(source) for source in sorted(self.root.glob("packages/*/src"))]
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COVERAGE", "PYTEST"))  # the copy is not what is measured
        }
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment | {"PYTHONPATH": os.pathsep.join(sources)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    return Tree(tmp_path)
