"""What the build does where there is no compiler, or when it is told what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("Cython", reason="the build needs Cython")
pytest.importorskip("setuptools", reason="the build needs setuptools")

PROJECT = Path(__file__).parents[2] / "packages/fastpath_ext"


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., tuple[int, str, list[str]]]:
    """Return a function that makes a wheel: exit status, output, names in the wheel."""
    project = tmp_path / "project"
    shutil.copytree(
        PROJECT,
        project,
        ignore=shutil.ignore_patterns("build", "*.so", "*.egg-info", "__pycache__"),
    )

    def make(**environment: str) -> tuple[int, str, list[str]]:
        ran = subprocess.run(
            [sys.executable, "setup.py", "-q", "bdist_wheel", "-d", str(tmp_path / "dist")],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={
                **{key: value for key, value in os.environ.items() if "THRIFTGATE" not in key},
                # Found nowhere, whatever PATH says.
                "CC": str(tmp_path / "no-compiler"),
                "LDSHARED": str(tmp_path / "no-linker"),
                **environment,
            },
        )
        names = [
            name
            for wheel in tmp_path.glob("dist/*.whl")
            for name in zipfile.ZipFile(wheel).namelist()
        ]
        return ran.returncode, ran.stdout, names

    return make


def code_in(names: list[str]) -> list[str]:
    return sorted(name for name in names if ".dist-info/" not in name)


# Stands in for a compiler: notes what it is to do, and makes a file that has the name of a result.
COMPILER = """\
#!/bin/sh
echo "$@" >> "$0.notes"
for word; do
    case "$word" in {unknown}) echo "unknown option" >&2; exit 1 ;; esac
    test "$before" = -o && : > "$word"
    before=$word
done
"""
BLOCKS = "-freorder-blocks-algorithm=simple"
SEPARATE = "-Wl,-z,noseparate-code"
GNU = {
    *("-Wl,--gc-sections", "-Wl,-O1", "-Wl,--hash-style=gnu", "-Wl,--build-id=none", "-Wl,-s"),
    "-Wl,-z,common-page-size=64",
}


@pytest.mark.parametrize(
    ("unknown", "used"),
    [
        ("none", {BLOCKS, SEPARATE, *GNU}),
        (BLOCKS, {SEPARATE, *GNU}),
        (SEPARATE, {BLOCKS, *GNU}),
        ("-Wl,--gc-sections", {BLOCKS, SEPARATE}),
        pytest.param("-freorder-*|-Wl,*", set(), id="clang on macOS"),
    ],
)
def test_a_compiler_is_spared_the_options_that_it_does_not_know(
    build: Callable[..., tuple[int, str, list[str]]], tmp_path: Path, unknown: str, used: set[str]
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER.format(unknown=unknown))
    compiler.chmod(0o755)
    status, output, names = build(
        CC=str(compiler),
        LDSHARED=f"{compiler} -shared",
        THRIFTGATE_REQUIRE_EXTENSIONS="1",
    )
    assert status == 0, output
    (module,) = set(code_in(names)) - set(PURE)
    assert module.startswith("fastpath_ext/_extension.")
    compiled, linked = (tmp_path / "compiler.notes").read_text().splitlines()[-2:]
    words = set(f"{compiled} {linked}".split())
    assert {word for word in words if word == BLOCKS or word.startswith("-Wl,")} == used
    assert [word for word in words if "stack-protector" in word] == []


PURE = ["fastpath_ext/__init__.py", "fastpath_ext/_extension.pyi", "fastpath_ext/py.typed"]


def test_without_a_compiler_the_wheel_is_made_and_the_build_says_so(
    build: Callable[..., tuple[int, str, list[str]]],
) -> None:
    status, output, names = build()
    assert status == 0, output
    said = "fastpath_ext._extension is not built, so thriftgate will run its pure-Python path: "
    assert said in output
    assert code_in(names) == PURE


def test_without_a_compiler_a_required_extension_fails_the_build(
    build: Callable[..., tuple[int, str, list[str]]],
) -> None:
    status, output, names = build(THRIFTGATE_REQUIRE_EXTENSIONS="1")
    assert status != 0
    assert "no-compiler" in output
    assert names == []


def test_switch_builds_no_extension(build: Callable[..., tuple[int, str, list[str]]]) -> None:
    status, output, names = build(THRIFTGATE_PURE="1")
    assert status == 0, output
    assert "is not built" not in output
    assert code_in(names) == PURE
