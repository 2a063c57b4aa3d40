from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cores.errors import ConfigurationError
from gateway.cli.interpreter import bare_command, describe

REMEDY = "give the path of a CPython of 3.11 or newer"


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_running_interpreter_and_the_same_one_asked_agree(tmp_path: Path) -> None:
    other = script(tmp_path / "python", f'exec "{sys.executable}" "$@"')
    running, asked = describe(), describe(other)
    assert running == describe(sys.executable)
    assert asked.executable == other
    assert (asked.version, asked.cache_tag) == (running.version, running.cache_tag)
    assert asked.suffixes == running.suffixes
    assert Path(asked.base).samefile(running.base)
    assert running.minor == "{}.{}".format(*sys.version_info)


def test_modules_and_packages_are_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plain.py", "package/__init__.py", "space/inner.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    names = ("plain", "package", "space", "nowhere_to_be_found")
    monkeypatch.syspath_prepend(tmp_path)
    assert describe().locate(names) == {
        "plain": (tmp_path / "plain.py",),
        "package": (tmp_path / "package",),
        "space": (tmp_path / "space",),
    }


def test_another_interpreter_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    other = describe(script(tmp_path / "python", f'exec "{sys.executable}" "$@"'))
    found = other.locate(["json", "this", "nowhere_to_be_found"])
    assert sorted(found) == ["json", "this"]
    assert (found["json"][0] / "decoder.py").exists()
    assert found["this"][0].name == "this.py"


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "python4")
    message = f"the interpreter {path!r} cannot be started: No such file or directory; {REMEDY}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        describe(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("echo first >&2; echo no good >&2; exit 3", "no good"), ("exit 3", "exit status 3")],
)
def test_an_interpreter_that_fails_is_quoted(tmp_path: Path, text: str, reason: str) -> None:
    path = script(tmp_path / "python", text)
    message = f"{path!r} failed: {reason}; {REMEDY}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        describe(path)


def test_the_bare_environment_has_the_standard_library_alone(tmp_path: Path) -> None:
    command = bare_command(describe(), tmp_path / "bare")
    program = "import sys, sysconfig; print(sys.prefix, sys.path[1:], sysconfig.get_path('stdlib'))"
    done = subprocess.run([*command, "-c", program], capture_output=True, check=True, text=True)
    prefix, _, rest = done.stdout.partition(" ")
    assert prefix == str(tmp_path / "bare")
    assert sysconfig.get_path("stdlib") in rest
    assert "-packages" not in rest


def test_where_links_cannot_be_made_the_interpreter_itself_is_taken(tmp_path: Path) -> None:
    (tmp_path / "bare").write_text("in the way")
    interpreter = describe()
    assert bare_command(interpreter, tmp_path / "bare") == [interpreter.base, "-s"]
