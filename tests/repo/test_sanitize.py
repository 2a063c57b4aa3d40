from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tools import installation, sanitize, sanitize_build
from tools.sanitize_build import UnavailableError

import fastpath_ext

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the logs out of the checkout."""
    monkeypatch.setattr(sanitize, "FOLDER", tmp_path)
    monkeypatch.setattr(sanitize, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def session() -> sanitize.Session:
    return sanitize.Session(seconds=0, seed=5, python=None)


def raising(error: Exception) -> Callable[[sanitize.Session], str]:
    def step(session: sanitize.Session) -> str:
        raise error

    return step


def compiler(folder: Path, script: str) -> str:
    file = folder / "compiler"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        *[
            (
                [f"--seconds={seconds}"],
                f"argument --seconds: it must be a number of seconds above 0, not '{seconds}'",
            )
            for seconds in ("-1", "0", "nan", "inf", "soon")
        ],
        (
            ["--quick", "--python", "nowhere"],
            "argument --python: not allowed with argument --quick",
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        sanitize.parser().parse_args(arguments)
    said = capsys.readouterr().err
    assert said == f"dev.py sanitize: {complaint}; dev.py sanitize --help tells more.\n"


def test_time_for_the_fuzz_tests_may_be_a_fraction() -> None:
    assert sanitize.parser().parse_args(["--seconds", "0.5"]).seconds == 0.5


def test_a_fault_is_shown_and_fails(session: sanitize.Session) -> None:
    session.perform("contracts", lambda _: "12 passed")
    assert session.status == 0
    session.perform("fuzz", raising(sanitize.FaultError("a report\nof two lines")))
    assert session.status == 1
    assert session.faults == ["---- fuzz\na report\nof two lines"]
    assert session.outcomes["fuzz"]["detail"] == "a report"


def test_a_build_that_fails_is_a_fault(session: sanitize.Session) -> None:
    session.perform("contracts", raising(installation.PreparationError("no")))
    assert session.status == 1


def test_only_missing_sanitizers_skip_it_all(session: sanitize.Session) -> None:
    session.perform("contracts", lambda _: "")
    session.perform("free-threaded", raising(UnavailableError("none")))
    assert session.status == 0
    session.perform("contracts", raising(UnavailableError("no libasan")))
    assert session.status == sanitize.SKIPPED
    assert session.outcomes["contracts"]["detail"] == "no libasan"


def test_a_tool_that_lacks_something_skips_its_step(session: sanitize.Session) -> None:
    code = "print('leaks skipped: no extension'); raise SystemExit(77)"
    session.perform("leaks", lambda _: sanitize.run("it", [sys.executable, "-c", code], {}))
    assert session.outcomes["leaks"]["outcome"] == "skipped"
    assert session.outcomes["leaks"]["detail"] == "leaks skipped: no extension"


def test_without_a_compiled_extension_all_is_skipped(folder: Path) -> None:
    code = f"""\
import sys
from pathlib import Path
from tools import sanitize
sanitize.FOLDER = Path({str(folder)!r})
sys.exit(sanitize.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "--json"],
        env=os.environ | {"THRIFTGATE_PURE": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == sanitize.SKIPPED, done.stderr
    steps = json.loads(done.stdout)["steps"]
    said = {(step["outcome"], step["detail"]) for step in steps.values()}
    assert said == {("skipped", "the extension is not compiled here: THRIFTGATE_PURE is set")}
    assert set(steps) == set(sanitize.STEPS)


@pytest.fixture
def collected(
    session: sanitize.Session, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., set[str]]:
    """Return a function giving the tests of the checkout that options of pytest select."""
    monkeypatch.setattr(sanitize, "ROOT", root)

    def collect(*options: str) -> set[str]:
        command = session.pytest(sys.executable, *options, "--collect-only")
        return {line for line in sanitize.run("it", command, {}).split("\n") if "::" in line}

    return collect


def test_only_the_pure_engine_is_left_out(collected: Callable[..., set[str]]) -> None:
    everything, chosen = collected(), collected(*sanitize.COMPILED)
    assert {test.partition("[")[2][:4] for test in everything - chosen} == {"pure"}
    assert not [test for test in chosen if "[pure" in test]


@pytest.mark.skipif(not fastpath_ext.COMPILED, reason="there are no handles to be fuzzed")
def test_fuzz_tests_share_the_time(
    session: sanitize.Session, collected: Callable[..., set[str]]
) -> None:
    session.seconds = 30
    tests = collected(*sanitize.COMPILED, "-m", "fuzz")
    names = {Path(test.partition("::")[0]).stem for test in tests}
    assert names == {"test_handle", "test_store_hostile", "test_store_threads"}
    assert session.fuzz("it", session.pytest(sys.executable, *sanitize.COMPILED)) == {
        "THRIFTGATE_FUZZ_SEED": "5",
        "THRIFTGATE_FUZZ_SECONDS": str(30 / len(tests)),
    }


def test_output_of_a_command_is_kept_and_its_end_shown(folder: Path) -> None:
    command = [sys.executable, "-c", "print('begin'); print('planted'); raise SystemExit(3)"]
    with pytest.raises(sanitize.FaultError) as caught:
        sanitize.run("it", command, {})
    assert str(caught.value) == "it ended with status 3; the end of it.log:\nbegin\nplanted"
    assert (folder / "it.log").read_text() == "begin\nplanted\n"


def test_a_command_that_hangs_is_ended_with_all_that_it_started(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    # What the command starts holds the pipe open until it ends itself.
    command = ["sh", "-c", '(exec 3>"$1"; echo started >&3; sleep 60) & wait', "sh", str(pipe)]
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        for limit in (0.1, 1, 10):  # pragma: no branch  the machine may be slow, or very slow
            hangs = rf"^it hangs: it was still running after {limit:.0f} s; "
            with pytest.raises(sanitize.FaultError, match=hangs):
                sanitize.run("it", command, {}, limit=limit)
            if reader.read() == b"started\n":  # pragma: no branch
                break
        assert select.select([reader], [], [], 10)[0], "what the command started goes on"
        assert reader.read() == b""


def test_what_finds_nothing_proves_nothing() -> None:
    said = "a planted fault, 'overflow', is "
    with pytest.raises(sanitize.FaultError, match=f"^{said}not found: what finds nothing here"):
        sanitize.require("overflow", lambda: None)

    def find() -> None:
        msg = "another fault"
        raise sanitize.FaultError(msg)

    with pytest.raises(sanitize.FaultError, match=f"^{said}reported as something else:\nanother"):
        sanitize.require("overflow", find)
    sanitize.require("another fault", find)


def test_a_planted_fault_is_found_by_a_sanitizer_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "fastpath_ext"
    package.mkdir()
    (package / "__init__.py").touch()
    words = ", ".join(map(repr, sanitize_build.FAULTS))
    (package / "_extension.py").write_text(
        f"def fail():\n    raise SystemExit(({words}))\n"
        "class Faults:\n    def __getitem__(self, _): return fail\n"
        "FAULTS = Faults()\n"
    )
    monkeypatch.setattr(sanitize_build, "sanitizer_settings", lambda reports: {})
    monkeypatch.setattr(sanitize_build, "sanitized_build", lambda *_, **__: folder)
    reported = "^a planted fault, 'heap-buffer-overflow', is reported as something else:\nplanted "
    with pytest.raises(sanitize.FaultError, match=reported):
        sanitize.planted(sanitize.Session(seconds=1, seed=5, python=None))


def test_a_report_is_a_fault_even_if_the_command_succeeds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sanitize_build, "sanitizer_settings", lambda reports: {"REPORTS": str(reports)}
    )
    write = "import os; open(os.environ['REPORTS'] + '/address.1', 'w').write('heap-use')"
    with pytest.raises(sanitize.FaultError, match=r"^a sanitizer reports:\nheap-use\n$"):
        sanitize.sanitized("it", folder, [sys.executable, "-c", write], {})
    # The report of an earlier command is none of the next one's.
    assert sanitize.sanitized("it", folder, [sys.executable, "-c", "print(7)"], {}) == "7\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers are used on Linux only")
@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo clang version 14", "is clang, whose libasan cannot be preloaded like gcc's"),
        ('echo "${1#-print-file-name=}"', "has no libasan.so; Debian ships it with gcc"),
    ],
)
def test_a_compiler_without_sanitizers_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, complaint: str
) -> None:
    monkeypatch.setenv("CC", compiler(folder, script))
    with pytest.raises(UnavailableError, match=re.escape(complaint)):
        sanitize_build.preloaded()
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UnavailableError, match=r"^no C compiler 'no-such-compiler'; on Debian: "):
        sanitize_build.preloaded()


def test_no_free_threaded_python_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match=r"^no free-threaded Python was found; get one"):
        sanitize.free_threaded_python(None)
    with pytest.raises(sanitize.FaultError, match=r"^nowhere is not a free-threaded Python$"):
        sanitize.free_threaded_python("nowhere")
