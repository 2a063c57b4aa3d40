"""Hunt for memory faults, undefined behaviour, leaks and races in the compiled code.

Planted faults first, which the tools must find. Then the contracts under the address and
undefined-behaviour sanitizers, each operation repeated to see what stays behind, the fuzz tests
for longer, the lines of the Cython sources that the contracts reach, and the contracts on a
free-threaded Python where there is one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools import installation, sanitize_build
from tools.options import Parser
from tools.sanitize_build import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-sanitize"
PACKAGE = ROOT / "packages/fastpath_ext"
SUITES = ("tests/contracts", "tests/fastpath_ext")
SECONDS, QUICK_SECONDS = 45, 20
SKIPPED = 77  # this machine lacks what it needs
LIMIT = 600.0  # seconds; what takes longer, beyond what it was given for fuzzing, hangs
TAIL = 60  # lines of output that are shown of a failure
COMPILED = ("-k", "not pure")  # without the pure engine, which shares the contracts
FREE_THREADED = [f"python3.{minor}t" for minor in range(19, 12, -1)]
NO_FREE_THREADED = (
    "no free-threaded Python was found; get one with: uv python install 3.14t, or build CPython"
    " with ./configure --disable-gil and name it with --python"
)


class FaultError(Exception):
    """Something was found; the text is the report.

    `evidence` is the part of it that a planted fault has to be found in.
    """

    def __init__(self, text: str, evidence: str | None = None) -> None:
        super().__init__(text)
        self.evidence = text if evidence is None else evidence


def parser() -> Parser:
    """Return the parser of `dev.py sanitize`."""
    options = Parser("sanitize", __doc__ or "")
    scope = options.add_mutually_exclusive_group()
    scope.add_argument(
        "--quick",
        action="store_true",
        help=f"what ci runs: {QUICK_SECONDS} s of fuzzing, no coverage, no free-threaded Python",
    )
    options.add_argument(
        "--seconds", type=duration, metavar="N", help=f"time for the fuzz tests ({SECONDS})"
    )
    options.add_argument(
        "--seed", type=int, metavar="S", help="first seed of the fuzz tests (by chance)"
    )
    scope.add_argument(
        "--python", metavar="PATH", help="the free-threaded Python (the newest one on PATH)"
    )
    options.add_argument("--json", action="store_true", help="print the outcome as JSON")
    return options


def duration(text: str) -> float:
    """Return a time in seconds that an option gives."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < math.inf:
        msg = f"it must be a number of seconds above 0, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return seconds


@dataclass
class Session:
    """What the steps share: options, environments, and what came out."""

    seconds: float
    seed: int
    python: str | None
    outcomes: dict[str, dict[str, object]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    coverage: dict[str, dict[str, object]] = field(default_factory=dict)

    def fuzz(self, name: str, command: list[str]) -> dict[str, str]:
        """Return the environment that shares the time out among the fuzz tests of a command."""
        listed = run(name, [*command, "-m", "fuzz", "--collect-only"], {})
        number = sum("::" in line for line in listed.split("\n"))
        return {
            "THRIFTGATE_FUZZ_SEED": str(self.seed),
            "THRIFTGATE_FUZZ_SECONDS": str(self.seconds / number),
        }

    def pytest(self, python: str, *arguments: str) -> list[str]:
        """Return the command for pytest on the suites, with the repository's settings.

        Without its fault handler, which would come before the sanitizer's.
        """
        settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        plain = ["-p", "no:faulthandler", "-p", "no:cacheprovider"]
        suites = [str(ROOT / suite) for suite in SUITES]
        seed = f"--hypothesis-seed={self.seed}"
        return [python, "-m", "pytest", "-q", *settings, *plain, seed, *suites, *arguments]

    def perform(self, name: str, step: Callable[[Session], str]) -> None:
        """Run a step and note its outcome: passed, failed or skipped, and why."""
        installation.say(f"== sanitize: {name}")
        start = time.monotonic()
        try:
            outcome, detail = "passed", step(self)
        except UnavailableError as error:
            outcome, detail = "skipped", str(error)
        except (FaultError, installation.PreparationError) as error:
            outcome, detail = "failed", str(error).split("\n", 1)[0]
            self.faults.append(f"---- {name}\n{error}")
            installation.say(str(error))
        seconds = round(time.monotonic() - start, 1)
        self.outcomes[name] = {"outcome": outcome, "seconds": seconds, "detail": detail}
        installation.say(f"{name} {outcome} after {seconds} s: {detail}")

    @property
    def status(self) -> int:
        """Return the exit status: 1 for a fault, 77 if the sanitizers cannot run here."""
        words = {name: each["outcome"] for name, each in self.outcomes.items()}
        if "failed" in words.values():
            return 1
        return SKIPPED if words["contracts"] == "skipped" else 0


def run(
    name: str,
    command: list[str],
    settings: Mapping[str, str],
    *,
    cwd: Path = ROOT,
    limit: float = LIMIT,
) -> str:
    """Run a command with its output in a log, and return that.

    Raises FaultError if it fails, and UnavailableError if it ends with the status of a tool that
    lacks something.
    """
    log = FOLDER / f"{name}.log"
    environment = {key: value for key, value in os.environ.items() if key != "THRIFTGATE_PURE"}
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**environment, "THRIFTGATE_REQUIRE_EXTENSIONS": "1", **settings},
            start_new_session=True,  # so that what it started ends with it
        )
        try:
            status = process.wait(limit)
            verdict = f"{name} ended with status {status}"
        except subprocess.TimeoutExpired:
            status, verdict = 1, f"{name} hangs: it was still running after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    text = log.read_text(encoding="utf-8", errors="replace")
    if status == SKIPPED:
        raise UnavailableError(last_line(text))
    if status:
        tail = "\n".join(text.rstrip().split("\n")[-TAIL:])
        msg = f"{verdict}; the end of {log.relative_to(ROOT)}:\n{tail}"
        raise FaultError(msg)
    return text


def last_line(text: str) -> str:
    """Return what pytest, or another tool, sums up in."""
    return text.rstrip().rpartition("\n")[2].strip("= ")


def sanitized(
    name: str, path: Path, command: list[str], settings: Mapping[str, str], limit: float = LIMIT
) -> str:
    """Run a command under the sanitizers; a report of theirs is a fault, whoever swallowed it."""
    reports = FOLDER / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    settings = {**sanitize_build.sanitizer_settings(reports), "PYTHONPATH": str(path), **settings}
    ended = ""
    try:
        text = run(name, command, settings, limit=limit)
    except FaultError as error:
        text, ended = "", str(error)
    found = [report.read_text(errors="replace") for report in sorted(reports.iterdir())]
    if found or ended:
        msg = "\n".join([*(f"a sanitizer reports:\n{report}" for report in found), ended])
        # What a process says of itself is no proof that a sanitizer watched it.
        raise FaultError(msg, evidence="\n".join(found))
    return text


def planted(session: Session) -> str:
    """Build and plant faults, and require that each is found."""
    from tools import sanitize_leaks  # needs the packages

    del session
    source = sanitize_build.PLANTED
    path = sanitize_build.sanitized_build(PACKAGE, FOLDER / "planted", source=source)
    for number, fault in enumerate(sanitize_build.FAULTS):
        code = f"from fastpath_ext import _extension; _extension.FAULTS[{number}]()"
        require(fault, partial(sanitized, "planted", path, [sys.executable, "-c", code], {}))
    leaking = [sys.executable, "-m", "tools.sanitize_leaks", "--planted"]
    for kind in ("blocks", "objects", *(["bytes"] if sanitize_leaks.byte_counter() else [])):
        require(f"{kind} stay behind", partial(run, "planted", [*leaking, f"planted {kind}"], {}))
    return "each planted fault was found"


def require(sign: str, work: Callable[[], object]) -> None:
    """Require that *work* fails with a report that says so."""
    try:
        work()
    except FaultError as error:
        if sign in error.evidence:
            return
        msg = f"a planted fault, {sign!r}, is reported as something else:\n{error}"
    else:
        msg = f"a planted fault, {sign!r}, is not found: what finds nothing here proves nothing"
    raise FaultError(msg)


def address_build() -> Path:
    """Build the extension with the sanitizers, once per run of this tool."""
    return sanitize_build.sanitized_build(PACKAGE, FOLDER / "address")


def contracts(session: Session) -> str:
    """Run all that is said about the compiled code, under the sanitizers."""
    path = address_build()
    # The fuzz tests come later, for longer.
    command = session.pytest(sys.executable, *COMPILED, "-m", "not fuzz")
    return last_line(sanitized("contracts", path, command, {}))


def leaks(session: Session) -> str:
    """Repeat each operation on the ordinary build and see what stays behind."""
    del session
    return last_line(run("leaks", [sys.executable, "-m", "tools.sanitize_leaks"], {}))


def fuzz(session: Session) -> str:
    """Run the tests marked as fuzz for longer, under the sanitizers, and share the time out."""
    sanitize_build.preloaded()
    # With -s, because a crash must not take the seed with it.
    command = session.pytest(sys.executable, *COMPILED, "-m", "fuzz", "-s")
    settings = session.fuzz("fuzz", command)
    path = FOLDER / "address/src"
    text = sanitized("fuzz", path, command, settings, LIMIT + session.seconds)
    return f"{last_line(text)}, {text.count('THRIFTGATE_FUZZ_SEED=')} seeds"


def with_extension(step: Callable[[Session], str], session: Session) -> str:
    """Perform a step where the installed extension is compiled, so that this can be done here.

    Without a compiler or Python's headers, and where the extension is left out on purpose, there
    is nothing to examine.
    """
    import fastpath_ext  # needs the packages

    if not fastpath_ext.COMPILED:
        msg = f"the extension is not compiled here: {fastpath_ext.reason}"
        raise UnavailableError(msg)
    return step(session)


def cython_coverage(session: Session) -> str:
    """Report the lines of the Cython sources that the contracts reach, and those they do not.

    Line events let other threads in between any two lines, where untraced code lets nobody in, so
    the tests of threads are left out.
    """
    from tools import sanitize_coverage  # needs Cython and coverage

    folder = FOLDER / "trace"
    path = sanitize_build.build(PACKAGE, folder, {"THRIFTGATE_TRACE": "1"})
    configuration = folder / "coveragerc"
    configuration.write_text(sanitize_coverage.CONFIGURATION.format(folder=folder))
    settings = {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    python, *words = session.pytest(sys.executable, *COMPILED, "-m", "not threads")
    measured = [python, "-m", "coverage", "run", f"--rcfile={configuration}", *words]
    # The paths of the sources in the module are relative to the folder of its setup.py.
    run("coverage", measured, settings, cwd=folder, limit=LIMIT / 2)
    report = [python, "-m", "coverage", "json", f"--rcfile={configuration}", "-q", "-o", "-"]
    files = json.loads(run("coverage-report", report, settings, cwd=folder))["files"]
    for name, each in files.items():
        if name.endswith(".pyx"):
            session.coverage[Path(name).name] = {
                "percent": round(each["summary"]["percent_covered"], 1),
                "lines": each["summary"]["num_statements"],
                "missing": each["missing_lines"],
            }
    if not any(each["lines"] for each in session.coverage.values()):
        msg = "coverage: no line of the Cython sources was seen"
        raise FaultError(msg)
    return "; ".join(
        f"{name} {each['percent']} % of {each['lines']} lines (not {each['missing'] or 'one'})"
        for name, each in session.coverage.items()
    )


def free_threaded_python(named: str | None) -> str:
    """Return a free-threaded interpreter, or raise UnavailableError."""
    for name in [named] if named else FREE_THREADED:
        found = shutil.which(name)
        code = "import sysconfig as s, sys; sys.exit(not s.get_config_var('Py_GIL_DISABLED'))"
        if found and not subprocess.run([found, "-c", code], check=False).returncode:
            return found
        if named:
            msg = f"{named} is not a free-threaded Python"
            raise FaultError(msg)
    raise UnavailableError(NO_FREE_THREADED)


def free_threaded(session: Session) -> str:
    """Run the contracts, and the fuzz tests for longer, without a global interpreter lock."""
    python = free_threaded_python(session.python)
    folder = FOLDER / "free-threaded"
    code = (
        "import sys; from pathlib import Path; from tools.environment import Environment;"
        "Environment(Path(sys.argv[1]), Path(sys.argv[2])).prepare(['free-threaded'])"
    )
    run("free-threaded", [python, "-c", code, str(ROOT), str(folder)], {"PYTHONPATH": str(ROOT)})
    python = str(folder / "bin/python")
    # What sanitizers cannot see is how often threads meet, so this has as much time as the fuzz.
    settings = session.fuzz("free-threaded", session.pytest(python))
    version = run("free-threaded", [python, "-VV"], {}).split(" (")[0]
    text = run("free-threaded", session.pytest(python), settings, limit=LIMIT + session.seconds)
    return f"{version}: {last_line(text)}"


STEPS: dict[str, Callable[[Session], str]] = {
    "planted": planted,
    "contracts": contracts,
    "leaks": leaks,
    "fuzz": fuzz,
    "coverage": cython_coverage,
    "free-threaded": free_threaded,
}
QUICK = ("planted", "contracts", "leaks", "fuzz")


def main() -> int:
    """Perform the steps and sum up; the exit status is 1 if anything was found."""
    options: argparse.Namespace = parser().parse_args()
    default = QUICK_SECONDS if options.quick else SECONDS
    session = Session(
        seconds=default if options.seconds is None else options.seconds,
        seed=random.randrange(2**32) if options.seed is None else options.seed,
        python=options.python,
    )
    FOLDER.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended as well
    installation.say(f"the seed of this run: --seed {session.seed}")
    for name in QUICK if options.quick else STEPS:
        session.perform(name, partial(with_extension, STEPS[name]))
    if options.json:
        document = {
            "seed": session.seed,
            "steps": session.outcomes,
            "cython_coverage": session.coverage,
            "faults": session.faults,
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(session.faults))
        for name, each in session.outcomes.items():
            print(f"{name:14} {each['outcome']:8}{each['seconds']:7} s  {each['detail']}")
    return session.status


if __name__ == "__main__":
    sys.exit(main())
