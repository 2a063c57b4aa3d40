"""The configuration of cibuildwheel, as it reads it; building would take containers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tools.wheels import ARCHITECTURES
from tools.wheels_interpreters import PYTHONS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "packages" / "fastpath_ext"
CONFIGURATION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]


def identifiers(folder: Path, architecture: str) -> subprocess.CompletedProcess[str]:
    """Ask cibuildwheel, which needs neither a network nor a container to answer."""
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed")
    options = ["--print-build-identifiers", "--platform", "linux", "--archs", architecture]
    return subprocess.run(
        [sys.executable, "-m", "cibuildwheel", *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cibuildwheel_builds_the_same_wheels(architecture: str) -> None:
    expected = [f"cp{each.replace('.', '')}-manylinux_{architecture}" for each in PYTHONS]
    answer = identifiers(PROJECT, architecture)
    assert answer.stdout.split() == expected, answer.stderr


def test_cibuildwheel_refuses_an_option_that_it_does_not_know(tmp_path: Path) -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    shutil.copy(PROJECT / "setup.py", tmp_path)
    planted = text.replace("[tool.cibuildwheel]\n", '[tool.cibuildwheel]\narchz = "x86_64"\n')
    assert planted != text
    (tmp_path / "pyproject.toml").write_text(planted)
    answer = identifiers(tmp_path, "x86_64")
    assert answer.returncode != 0
    assert "archz" in answer.stderr


def test_cibuildwheel_builds_where_the_promised_glibc_is() -> None:
    linux = CONFIGURATION["linux"]
    for architecture in ARCHITECTURES:
        assert linux[f"manylinux-{architecture}-image"] == "manylinux2014"


def test_cibuildwheel_tests_what_is_there() -> None:
    commands = f"{CONFIGURATION['before-test']} {CONFIGURATION['test-command']}"
    paths = re.findall(r"\{project\}/([\w./]+)", commands)
    assert "tests/contracts" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    (group,) = re.findall(r"--group \S+:(\w+)", commands)
    assert group in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
