"""Which Pythons wheels are built for, with stand-ins that say what they are."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest
from tools.wheels_interpreters import Interpreter, UnavailableError, find, running


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home without any Python; its folder bin is all of PATH."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def python(path: Path, version: str, *, headers: bool = True, **told: object) -> Path:
    """Make an interpreter that says what it is told to, and its headers."""
    folder = path.parent / f"include-{path.name}"
    told = {"is_cpython": True, "is_free_threaded": False, "version": version} | told
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{json.dumps(told | {'headers': str(folder)})}'\n")
    path.chmod(0o755)
    if headers:
        folder.mkdir()
        (folder / "Python.h").touch()
    return path


@pytest.mark.skipif(
    not Path(sysconfig.get_path("include"), "Python.h").is_file(),
    reason="this Python has no headers, so there is nothing to find",
)
def test_the_running_python_comes_first(machine: Path) -> None:
    python(machine / f"bin/python{running()}", running())
    found = find(running())
    assert found.version == "{}.{}".format(*sys.version_info)
    assert found.tag == "cp{}{}".format(*sys.version_info)
    assert machine not in found.path.parents


def test_a_python_on_path_is_found(machine: Path) -> None:
    there = python(machine / "bin/python3.99", "3.99")
    assert find("3.99").path == there


@pytest.mark.parametrize(
    ("release", "older"),
    [
        (".pyenv/versions/3.99.10", ".pyenv/versions/3.99.9"),
        (
            ".local/share/uv/python/cpython-3.99.10-linux-x86_64-gnu",
            ".local/share/uv/python/cpython-3.99.9-linux-x86_64-gnu",
        ),
    ],
)
def test_the_newest_python_of_an_installer_is_found(
    machine: Path, release: str, older: str
) -> None:
    python(machine / older / "bin/python3.99", "3.99")
    newest = python(machine / release / "bin/python3.99", "3.99")
    assert find("3.99").path == newest


@pytest.mark.parametrize(
    "told",
    [
        {"is_free_threaded": True},
        {"is_cpython": False},
        {"version": "3.98"},
        {"headers": False},
    ],
)
def test_a_python_that_does_not_fit_is_passed_over(machine: Path, told: dict[str, bool]) -> None:
    python(machine / "bin/python3.99", **{"version": "3.99", **told})  # type: ignore[arg-type]
    (machine / ".pyenv/versions/3.99.2/bin").mkdir(parents=True)  # without a program in it
    other = python(machine / ".pyenv/versions/3.99.1/bin/python3.99", "3.99")
    assert find("3.99").path == other


def test_a_python_that_is_not_there_is_an_error_with_the_remedy(machine: Path) -> None:
    stand_in = python(machine / "bin/python3.99", "3.99")
    stand_in.write_text("#!/bin/sh\nexit 127\n")  # as pyenv's, when the version is not chosen
    with pytest.raises(
        UnavailableError,
        match=(
            r"^there is no python3\.99 on PATH and none that pyenv or uv installed;"
            r" get one with: uv python install 3\.99$"
        ),
    ):
        find("3.99")


def test_a_python_without_headers_is_an_error_with_the_remedy(machine: Path) -> None:
    there = python(machine / "bin/python3.99", "3.99", headers=False)
    with pytest.raises(UnavailableError) as raised:
        find("3.99")
    assert str(raised.value) == (
        f"{there} has no {machine}/bin/include-python3.99/Python.h;"
        " on Debian and Ubuntu: sudo apt install python3.99-dev"
    )


def test_a_path_is_taken_whatever_version_it_is(machine: Path) -> None:
    there = python(machine / "elsewhere", "3.98")
    assert find(str(there)) == Interpreter("3.98", there, machine / "include-elsewhere")


@pytest.mark.parametrize("text", [None, "exit 127", "echo Python 3.12"])
def test_a_path_that_is_no_python_is_an_error(machine: Path, text: str | None) -> None:
    if text:
        (machine / "nothing").write_text(f"#!/bin/sh\n{text}\n")
        (machine / "nothing").chmod(0o755)
    with pytest.raises(
        UnavailableError, match=r"/nothing is no CPython with the global interpreter lock$"
    ):
        find(str(machine / "nothing"))
