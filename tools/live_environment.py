"""Make the environment of a real Home Assistant in .venv-ha: once, from a lock file.

Each release of Home Assistant runs on few Pythons, so tests/live/home holds one lock file per
Python, and the newest Python of this machine for which there is one decides the release.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools import installation

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = ".venv-ha"
UNREACHABLE = "package index could not be reached"  # in tools.installation's words

# The pages of the user interface are a very large package that only has to say where they are.
FRONTEND = '''\
"""A stand-in for the user interface: no pages, only their place."""

from pathlib import Path


def where():
    return Path(__file__).parent
'''
PAGES = ("index", "authorize", "onboarding")
STATIC = ("static/icons", "static/translations", "frontend_latest", "frontend_es5")
SCRIPTS = ("robots.txt", "service-worker.js", "sw-modern.js", "sw-legacy.js")


class UnavailableError(Exception):
    """This machine cannot have a Home Assistant; the text says what is missing."""


def prepare(root: Path, python: str | None = None) -> Path:
    """Return the interpreter of an environment with Home Assistant; build it if need be.

    Raises `UnavailableError` when there is no Python for it, or no network, and `PreparationError`
    when `python` does not fit or the installation fails for another reason.
    """
    if os.name == "nt":
        msg = "Home Assistant does not run on Windows; the Windows Subsystem for Linux does it"
        raise UnavailableError(msg)
    locks = {
        (3, int(match[1])): path
        for path in (root / "tests/live/home").glob("*.txt")
        if (match := re.search(r"-py3(\d+)$", path.stem))
    }
    base, lock = _choose(locks, python)
    folder = root / FOLDER
    stamp = folder / "stamp"
    wanted = f"{base} {hashlib.sha256(lock.read_bytes() + FRONTEND.encode()).hexdigest()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _build(base, lock, folder)
        stamp.write_text(wanted)
    return folder / "bin/python"


def _choose(locks: dict[tuple[int, int], Path], python: str | None) -> tuple[str, Path]:
    """Return the newest interpreter that starts and has a lock file, and that file."""
    versions = sorted(locks, reverse=True)
    names = ", ".join(f"{major}.{minor}" for major, minor in versions)
    if python:
        version = _version(python)
        if version is None:
            msg = f"{python} does not start; Home Assistant needs a Python of {names}"
            raise installation.PreparationError(msg)
        if version not in locks:
            found = ".".join(map(str, version))
            msg = f"{python} is Python {found}; Home Assistant needs one of {names} here"
            raise installation.PreparationError(msg)
        return python, locks[version]
    for wanted in versions:
        for candidate in _candidates(*wanted):
            if _version(candidate) == wanted:
                return candidate, locks[wanted]
    msg = (
        f"Home Assistant needs a Python of {names}, and none was found on PATH, among pyenv's or"
        " among uv's; install one, or name it with --python"
    )
    raise UnavailableError(msg)


def _candidates(major: int, minor: int) -> Iterator[str]:
    """Yield where an interpreter of that version might be; some may refuse to start."""
    name = f"{major}.{minor}"
    if found := shutil.which(f"python{name}"):
        yield found
    if sys.version_info[:2] == (major, minor):
        yield os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(
        map(str, home.glob(f"{name}.*/bin/python")),
        key=lambda path: [int(digits) for digits in re.findall(r"\d+", path)],
        reverse=True,
    )
    if uv := shutil.which("uv"):
        answer = subprocess.run(
            [uv, "python", "find", name], check=False, capture_output=True, text=True
        )
        if answer.returncode == 0:
            yield answer.stdout.strip()


def _version(python: str) -> tuple[int, int] | None:
    """Ask an interpreter for its version; None if it does not start, as a shim may not."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-c", code], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = answer.stdout.split()
    return (int(words[0]), int(words[1])) if answer.returncode == 0 and len(words) > 1 else None


def _build(base: str, lock: Path, folder: Path) -> None:
    log = folder.with_name(f"{folder.name}-installation.log")
    installation.run(f"making {folder.name} with {base}", [base, "-m", "venv", str(folder)], log)
    python = folder / "bin/python"
    release = lock.stem.partition("-py")[0]
    pip = [str(python), "-m", "pip", "install", "--no-compile", "--no-deps", "-r", str(lock)]
    try:
        installation.run(f"installing {release} (half a gigabyte)", pip, log)
    except installation.PreparationError as error:
        if UNREACHABLE in " ".join(str(error).split()):
            raise UnavailableError(str(error)) from error
        raise
    log.unlink()
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", place], check=True, capture_output=True, text=True)
    _put_frontend(Path(packages.stdout.strip()) / "hass_frontend")


def _put_frontend(package: Path) -> None:
    for name in STATIC:
        (package / name).mkdir(parents=True)
    for name in PAGES:
        (package / f"{name}.html").write_text(f"<!doctype html><title>{name}</title>\n")
    for name in SCRIPTS:
        (package / name).touch()
    (package / "__init__.py").write_text(FRONTEND)
