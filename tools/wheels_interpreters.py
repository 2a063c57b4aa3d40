"""Find the Pythons of this machine that wheels can be built for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The interpreter says what it is; its headers decide whether something can be built for it.
PROBE = """\
import json, os, sys, sysconfig
print(json.dumps({
    "version": "{}.{}".format(*sys.version_info),
    "is_cpython": sys.implementation.name == "cpython",
    "is_free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "headers": sysconfig.get_path("include"),
}))
"""


class Interpreter(NamedTuple):
    """A CPython with its headers."""

    version: str
    path: Path
    headers: Path

    @property
    def tag(self) -> str:
        """Return its tag in file names: cp311."""
        return f"cp{self.version.replace('.', '')}"


class UnavailableError(Exception):
    """There is no such interpreter; the text says how to get one."""


def running() -> str:
    """Return the version that runs this."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def find(wanted: str) -> Interpreter:
    """Return the interpreter of a version, or at a path; raises UnavailableError."""
    is_path = os.sep in wanted
    paths = [Path(wanted)] if is_path else candidates(wanted)
    without_headers = []
    for path in paths:
        interpreter = probe(path)
        if interpreter is None or not (is_path or interpreter.version == wanted):
            continue
        if (interpreter.headers / "Python.h").is_file():
            return interpreter
        without_headers.append(interpreter)
    if without_headers:
        version, path, headers = without_headers[0]
        msg = (
            f"{path} has no {headers / 'Python.h'};"
            f" on Debian and Ubuntu: sudo apt install python{version}-dev"
        )
        raise UnavailableError(msg)
    if is_path:
        msg = f"{wanted} is no CPython with the global interpreter lock"
        raise UnavailableError(msg)
    msg = (
        f"there is no python{wanted} on PATH and none that pyenv or uv installed;"
        f" get one with: uv python install {wanted}"
    )
    raise UnavailableError(msg)


def candidates(version: str) -> Iterator[Path]:
    """Yield where an interpreter of a version may be, whether or not there is one."""
    if version == running():
        yield Path(getattr(sys, "_base_executable", None) or sys.executable)
    found = shutil.which(f"python{version}")
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    for folder, pattern in ((pyenv, f"{version}.*"), (uv, f"cpython-{version}.*")):
        for release in sorted(folder.glob(pattern), key=_patch, reverse=True):
            yield release / "bin" / f"python{version}"


def _patch(release: Path) -> int:
    """Return the last number of a version like 3.12.10 in a folder's name."""
    found = re.search(r"\d\.\d+\.(\d+)", release.name)
    return int(found[1]) if found else 0


def probe(path: Path) -> Interpreter | None:
    """Return what an interpreter says of itself, or None if it is none that we build for."""
    try:
        answer = subprocess.run(
            [str(path), "-I", "-c", PROBE], capture_output=True, text=True, check=True
        )
        told = json.loads(answer.stdout)
    # pyenv's stand-ins exit with 127; another program may print anything.
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    if not told["is_cpython"] or told["is_free_threaded"]:
        return None
    return Interpreter(told["version"], path, Path(told["headers"]))
