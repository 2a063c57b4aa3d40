"""Make wheels of fastpath_ext for both architectures of Lambda on one machine, without Docker.

Each wheel is checked; that of this machine's architecture is installed and tested, and the aarch64
one runs under qemu where that is possible. The other three packages' wheels are made as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools import installation
from tools.environment import without_switches
from tools.options import Parser
from tools.wheels_builder import Builder
from tools.wheels_interpreters import (
    PYTHONS,
    Interpreter,
    UnavailableError,
    find,
    probe,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "packages/fastpath_ext"
ARCHITECTURES = ("x86_64", "aarch64")
SMOKE = Path(__file__).with_name("wheels_smoke.py")
# Another interpreter finds the suite's module the way dev.py's environments find theirs.
SUITE = """\
import runpy, sys
sys.path[0] = sys.argv.pop(1)
runpy.run_module("tools.wheels_suite", run_name="__main__")
"""
NO_QEMU = "no qemu-aarch64-static on PATH; on Debian and Ubuntu: sudo apt install qemu-user-static"
NO_ROOT = "no arm64 Python {} under --arm64-root; docs/build-and-deploy.md says how to get one"


class Outcome(NamedTuple):
    """What was done with a wheel beside checking it: passed, skipped or failed, and why."""

    word: str
    detail: str


class Wheel(NamedTuple):
    """A wheel that was built."""

    python: Interpreter
    architecture: str
    path: Path
    faults: list[str]
    outcome: Outcome

    @property
    def is_good(self) -> bool:
        """Tell whether nothing is wrong with it, as far as it could be tried."""
        return not self.faults and self.outcome.word != "failed"

    def describe(self) -> dict[str, object]:
        """Return what --json says about it."""
        content = self.path.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            modules = [file for file in archive.infolist() if file.filename.endswith(".so")]
        return {
            "wheel": self.path.name,
            "python": self.python.version,
            "architecture": self.architecture,
            "bytes": len(content),
            "module_bytes": sum(file.file_size for file in modules),
            "sha256": hashlib.sha256(content).hexdigest(),
            "faults": self.faults,
            "tests": self.outcome.word,
            "tests_detail": self.outcome.detail,
        }


def parser() -> Parser:
    """Return the parser of `dev.py wheels`."""
    options = Parser("wheels", __doc__ or "")
    options.add_argument(
        "--python",
        nargs="+",
        type=version_or_path,
        metavar="VERSION",
        help=f"versions, or interpreters' paths (default: {' '.join(PYTHONS)}, where found)",
    )
    options.add_argument(
        "--arch",
        nargs="+",
        choices=ARCHITECTURES,
        default=ARCHITECTURES,
        help="what the wheels are to run on (default: both)",
    )
    options.add_argument(
        "--out",
        type=folder_to_write,
        default=str(ROOT / "dist"),
        metavar="DIR",
        help="where the wheels go; it is made if it is not there (default: the checkout's dist)",
    )
    options.add_argument("--no-test", action="store_true", help="check the wheels, run nothing")
    options.add_argument(
        "--test-all",
        action="store_true",
        help="run the tests on each Python, not only on the one that runs this",
    )
    options.add_argument(
        "--arm64-root",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="an arm64 system with Python, to try the aarch64 wheel under qemu; may be repeated",
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def version_or_path(word: str) -> str:
    """Return what --python was given, unless no wheel can be made for it."""
    version = word
    if os.sep in word:
        there = probe(Path(word))  # whether there is one, and with headers, is seen later
        version = there.version if there else PYTHONS[0]
    if version in PYTHONS:
        return word
    given = repr(word) if version == word else f"{word!r}, which is Python {version},"
    msg = (
        f"wheels are made for Python {PYTHONS[0]} to {PYTHONS[-1]}, and {given} is none of these;"
        f" name one, such as {PYTHONS[-1]}, or the path of its interpreter"
    )
    raise argparse.ArgumentTypeError(msg)


def folder_to_write(word: str) -> Path:
    """Return what --out was given, unless it cannot be a folder to put wheels into."""
    path = Path(word)
    there = next(each for each in (path, *path.absolute().parents) if os.access(each, os.F_OK))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return path
    reason = "cannot be written to" if there.is_dir() else "is not a folder"
    msg = f"{str(there)!r} {reason}; name a folder that is there or can be made"
    raise argparse.ArgumentTypeError(msg)


def main() -> int:
    """Build, check, test and list; the exit status is 1 if anything asked for failed."""
    options = parser().parse_args()
    start = time.monotonic()
    if sys.platform != "linux":
        installation.say("dev.py wheels needs Linux: it compiles with the headers of its Pythons")
        return 1
    os.umask(0o022)  # archives hold the modes of what is built
    pythons, skipped = choose(options.python)
    required = [word for word in options.python or [running()] if word in skipped]
    for word in required:
        installation.say(f"dev.py wheels: no wheel can be made for Python {word}: {skipped[word]}")
    if required:
        return 1
    for version, reason in skipped.items():
        installation.say(f"Python {version} skipped: {reason}")
    wheels: list[Wheel] = []
    try:
        with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
            wheels = make(options, pythons, Path(folder))
    except installation.PreparationError as error:
        installation.say(f"dev.py wheels: {error}")
        return 1
    described = [wheel.describe() for wheel in wheels]
    if options.json:
        print(json.dumps({"wheels": described, "skipped": skipped}, indent=2))
    else:
        print("\n".join(table(described)))
        without = f", none for Python {', '.join(skipped)}" if skipped else ""
        seconds = time.monotonic() - start
        print(f"{len(wheels)} wheels in {options.out}{without} ({seconds:.0f} s)")
    return int(not all(wheel.is_good for wheel in wheels))


def choose(wanted: Sequence[str] | None) -> tuple[list[Interpreter], dict[str, str]]:
    """Return the interpreters to build for, the running one first, and why others are not.

    Of several that have the same version the first is taken.
    """
    found: dict[str, Interpreter] = {}
    skipped = {}
    for word in wanted or [running(), *PYTHONS]:
        try:
            python = find(word)
        except UnavailableError as error:
            skipped[word] = str(error)
        else:
            found.setdefault(python.version, python)
    return list(found.values()), skipped


def make(options: argparse.Namespace, pythons: list[Interpreter], folder: Path) -> list[Wheel]:
    """Build and check every wheel, keep them, and try what can be tried."""
    from tools.wheels_checks import faults  # needs the verb's environment, and --help does not

    builder = Builder(ROOT, folder / "build")
    builder.translate()
    plain = builder.plain()
    kept = folder / "wheels"
    kept.mkdir()
    for wheel in plain:
        shutil.copy(wheel, kept)
    wheels = []
    for python in pythons:
        for architecture in dict.fromkeys(options.arch):
            path = Path(shutil.move(builder.extension(python, architecture), kept))
            found = faults(path, PROJECT, python.version, architecture)
            for fault in found:
                installation.say(f"{path.name} {fault}")
            wheels.append(Wheel(python, architecture, path, found, Outcome("skipped", "--no-test")))
    if not options.no_test:
        wheels = [wheel._replace(outcome=attempt(wheel, plain, options)) for wheel in wheels]
        full = pythons if options.test_all else pythons[:1]
        wheels = [test(wheel, kept) if wheel.python in full else wheel for wheel in wheels]
    options.out.mkdir(parents=True, exist_ok=True)
    for wheel in plain:
        shutil.copy(wheel, options.out)
    return [wheel._replace(path=Path(shutil.copy(wheel.path, options.out))) for wheel in wheels]


def attempt(wheel: Wheel, plain: list[Path], options: argparse.Namespace) -> Outcome:
    """Import the extension from the unpacked wheels and try it, on this machine or under qemu."""
    python = wheel.python
    command = [str(python.path)]
    if wheel.architecture != platform.machine():
        if wheel.architecture != "aarch64":
            return Outcome("skipped", f"this machine does not run {wheel.architecture}")
        qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
        if not qemu:
            return Outcome("skipped", NO_QEMU)
        name = f"bin/python{python.version}"
        found = [
            (root.absolute(), root.absolute() / folder / name)
            for root in options.arm64_root
            for folder in ("usr/local", "usr")
            if (root / folder / name).exists()
        ]
        if not found:
            return Outcome("skipped", NO_ROOT.format(python.version))
        command = [qemu, "-L", str(found[0][0]), str(found[0][1])]
    unpacked = wheel.path.parent / "unpacked" / f"{python.tag}-{wheel.architecture}"
    for each in (*plain, wheel.path):
        with zipfile.ZipFile(each) as archive:
            archive.extractall(unpacked)
    what = f"trying Python {python.version} on {wheel.architecture}"
    log = unpacked.with_suffix(".log")
    # -I: the wheels and nothing of the user's; -B: no bytecode, it is read once.
    return _outcome(what, [*command, "-I", "-B", str(SMOKE), str(unpacked)], log)


def _outcome(what: str, command: list[str], log: Path) -> Outcome:
    try:
        installation.run(what, command, log, environment=without_switches(), causes={})
    except installation.PreparationError as error:
        installation.say(str(error))
        return Outcome("failed", str(error).rpartition("\n")[2].strip())
    return Outcome("passed", log.read_text().rstrip().rpartition("\n")[2])


def test(wheel: Wheel, kept: Path) -> Wheel:
    """Run the suite on a wheel of this machine's architecture, from an environment of its own."""
    if wheel.architecture != platform.machine() or wheel.outcome.word == "failed":
        return wheel
    answer = subprocess.run(
        [str(wheel.python.path), "-c", SUITE, str(ROOT), str(kept)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if answer.returncode:
        return wheel._replace(outcome=Outcome("failed", "the tests of the installed wheels"))
    counts = " and ".join(f"{count} {path}" for path, count in json.loads(answer.stdout).items())
    return wheel._replace(outcome=Outcome("passed", f"{counts} tests of the installed wheels"))


def table(described: list[dict[str, object]]) -> list[str]:
    """Return a line per wheel, and then the sums as sha256sum -c reads them."""
    lines = [f"{'python':8}{'arch':9}{'module':>7}{'wheel':>8}  {'checks':10}tests"]
    for each in described:
        faults = each["faults"]
        checks = f"{len(faults)} faults" if isinstance(faults, list) and faults else "passed"
        sizes = f"{each['module_bytes']:>7}{each['bytes']:>8}"
        tests = f"{each['tests']}: {each['tests_detail']}"
        lines.append(f"{each['python']:8}{each['architecture']:9}{sizes}  {checks:10}{tests}")
    return [*lines, "", *(f"{each['sha256']}  {each['wheel']}" for each in described)]


if __name__ == "__main__":
    sys.exit(main())
