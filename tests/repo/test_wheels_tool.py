"""The parts of dev.py wheels that need no compiler."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from tools.wheels import ARCHITECTURES, Outcome, Wheel, attempt, choose, parser, table
from tools.wheels_builder import GLIBC, epoch
from tools.wheels_checks import GLIBC as NEWEST
from tools.wheels_checks import MACHINES
from tools.wheels_interpreters import PYTHONS, Interpreter, running

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "packages" / "fastpath_ext"


def test_every_python_is_chosen_or_skipped_and_the_running_one_comes_first() -> None:
    chosen, skipped = choose(None)
    assert running() in {*skipped, *(python.version for python in chosen[:1])}
    assert {python.version for python in chosen} | set(skipped) == {running(), *PYTHONS}


def test_a_python_that_is_asked_for_and_not_there_is_skipped_with_a_reason() -> None:
    chosen, skipped = choose(["3.99"])
    assert chosen == []
    assert skipped["3.99"].endswith("get one with: uv python install 3.99")


def test_the_first_of_several_pythons_of_one_version_is_chosen(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path, version in ((first, "3.12"), (second, "3.12"), (tmp_path / "other", "3.13")):
        stand_in(path, version)
    chosen, skipped = choose([str(first), str(second), str(tmp_path / "other"), str(first)])
    assert [(python.version, python.path.name) for python in chosen] == [
        ("3.12", "first"),
        ("3.13", "other"),
    ]
    assert skipped == {}


def stand_in(path: Path, version: str) -> None:
    """Make what says that it is a Python with headers."""
    told = {"is_cpython": True, "is_free_threaded": False, "version": version}
    path.write_text(f"#!/bin/sh\necho '{json.dumps(told | {'headers': str(path.parent)})}'\n")
    path.chmod(0o755)
    (path.parent / "Python.h").touch()


RANGE = f"wheels are made for Python {PYTHONS[0]} to {PYTHONS[-1]}"
REMEDY = f"name one, such as {PYTHONS[-1]}, or the path of its interpreter"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the complaint about arguments, of which there is one line."""
    with pytest.raises(SystemExit) as raised:
        parser().parse_args(arguments)
    assert raised.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    end = "; dev.py wheels --help tells more."
    assert line.endswith(end)
    return line.removesuffix(end)


@pytest.mark.parametrize("word", ["3.9", "3.15", "abc", "", "python3.12", "3.12.1"])
def test_a_version_that_no_wheel_is_made_for_is_refused(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert refusal(capsys, "--python", "3.12", word) == (
        f"dev.py wheels: argument --python: {RANGE}, and {word!r} is none of these; {REMEDY}"
    )


def test_a_path_to_a_python_that_no_wheel_is_made_for_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = tmp_path / "python"
    stand_in(old, "3.9")
    assert refusal(capsys, "--python", str(old)) == (
        f"dev.py wheels: argument --python: {RANGE}, and {str(old)!r}, which is Python 3.9,"
        f" is none of these; {REMEDY}"
    )
    stand_in(old, "3.12")
    assert parser().parse_args(["--python", str(old), "3.13"]).python == [str(old), "3.13"]


def test_a_python_that_is_asked_for_and_not_there_ends_it_before_anything_is_built(
    tmp_path: Path,
) -> None:
    there, missing, out = tmp_path / "there", tmp_path / "missing", tmp_path / "out"
    stand_in(there, "3.12")
    command = ["-m", "tools.wheels", "--out", str(out), "--python", str(there), str(missing)]
    ran = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"dev.py wheels: no wheel can be made for Python {missing}:"
        f" {missing} is no CPython with the global interpreter lock\n"
    )
    assert not out.exists()


def test_a_place_for_wheels_that_is_no_folder_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "README.md"
    file.touch()
    for word in (file, file / "below" / "it"):
        assert refusal(capsys, "--out", str(word)) == (
            f"dev.py wheels: argument --out: {str(file)!r} is not a folder;"
            " name a folder that is there or can be made"
        )
    for word in (tmp_path, tmp_path / "new" / "folder"):
        assert parser().parse_args(["--out", str(word)]).out == word
    monkeypatch.chdir(tmp_path)
    assert parser().parse_args(["--out", "new"]).out == Path("new")
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.F_OK)
    assert refusal(capsys, "--out", str(tmp_path)) == (
        f"dev.py wheels: argument --out: {str(tmp_path)!r} cannot be written to;"
        " name a folder that is there or can be made"
    )


def test_help_says_something_about_every_option() -> None:
    for line in re.split(r"\n  (?=-)", parser().format_help().partition("options:")[2])[1:]:
        assert re.search(r"  +\w|\n +\w", line), line


def test_an_unknown_architecture_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--arch", "riscv64"])
    assert "invalid choice: 'riscv64'" in capsys.readouterr().err


def test_the_table_says_what_was_checked_and_tested() -> None:
    wheel = {
        "wheel": "a.whl",
        "python": "3.12",
        "architecture": "aarch64",
        "module_bytes": 73480,
        "bytes": 42201,
        "sha256": "c3fb",
        "faults": [],
        "tests": "passed",
        "tests_detail": "12000 operations",
    }
    other = wheel | {"faults": ["is no zip archive"], "tests": "skipped", "tests_detail": "why"}
    assert table([wheel, other]) == [
        "python  arch      module   wheel  checks    tests",
        "3.12    aarch64    73480   42201  passed    passed: 12000 operations",
        "3.12    aarch64    73480   42201  1 faults  skipped: why",
        "",
        "c3fb  a.whl",
        "c3fb  a.whl",
    ]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """Return a wheel for aarch64, on an x86_64 machine, whose extension does not load."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fastpath_ext/__init__.py", "COMPILED = False\nreason = 'planted'\n")
    python = Interpreter("3.99", Path(sys.executable), tmp_path)
    return Wheel(python, "aarch64", path, [], Outcome("skipped", "not yet"))


def test_a_wheel_is_run_by_its_python(wheel: Wheel) -> None:
    native = wheel._replace(architecture="x86_64")
    assert attempt(native, [], parser().parse_args([])) == Outcome(
        "failed", "the extension does not load: planted"
    )


def test_a_foreign_wheel_is_run_under_qemu(wheel: Wheel, tmp_path: Path) -> None:
    qemu = tmp_path / "qemu-aarch64-static"
    qemu.write_text(
        f'#!/bin/sh\necho "$1 $2 $3" > "$0.notes"\nshift 3\nexec {sys.executable} "$@"\n'
    )
    qemu.chmod(0o755)
    python = tmp_path / "system/usr/bin/python3.99"
    python.parent.mkdir(parents=True)
    python.touch()
    roots = ["--arm64-root", str(tmp_path / "other"), "--arm64-root", str(tmp_path / "system")]
    assert attempt(wheel, [], parser().parse_args(roots)).detail.endswith("load: planted")
    assert qemu.with_name("qemu-aarch64-static.notes").read_text() == (
        f"-L {tmp_path}/system {python}\n"
    )


def test_a_foreign_wheel_that_cannot_be_run_is_skipped_with_a_remedy(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "qemu-aarch64").write_text("#!/bin/sh\n")
    (tmp_path / "qemu-aarch64").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = parser().parse_args([])
    assert attempt(wheel, [], options) == Outcome(
        "skipped",
        "no arm64 Python 3.99 under --arm64-root; docs/build-and-deploy.md says how to get one",
    )
    monkeypatch.setenv("PATH", "")
    assert attempt(wheel, [], options) == Outcome(
        "skipped",
        "no qemu-aarch64-static on PATH; on Debian and Ubuntu: sudo apt install qemu-user-static",
    )
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert attempt(wheel._replace(architecture="x86_64"), [], options) == Outcome(
        "skipped", "this machine does not run x86_64"
    )


def test_archives_carry_the_time_of_the_last_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert epoch(tmp_path) == "315532800"  # no checkout
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "nobody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "nobody@example.invalid")
        monkeypatch.setenv(f"GIT_{name}_DATE", "1700000000 +0000")
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "Begin"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert epoch(tmp_path) == "1700000000"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert epoch(tmp_path) == "1800000000"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setenv("PATH", "")
    assert epoch(tmp_path) == "315532800"  # no git


def test_what_is_built_is_what_is_checked() -> None:
    assert tuple(map(int, GLIBC.split("."))) == NEWEST
    assert set(ARCHITECTURES) == set(MACHINES)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    classifiers = "\n".join(project["classifiers"])
    assert tuple(re.findall(r":: (3\.\d+)$", classifiers, re.MULTILINE)) == PYTHONS
