"""What a Python interpreter is, what it can import, and a bare environment around it."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cores.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIBE = """\
import importlib.machinery, json, sys
print(json.dumps({
    "base": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:3]),
    "cache_tag": sys.implementation.cache_tag,
    "suffixes": importlib.machinery.EXTENSION_SUFFIXES,
}))
"""
_LOCATE = """\
import importlib.util, json, sys
found = {}
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    if spec is not None:
        found[name] = list(spec.submodule_search_locations or [spec.origin])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python program: where it is, what it reads, which bytecode and extensions it takes."""

    executable: str
    base: str
    """The interpreter under a virtual environment, else the same."""
    version: tuple[int, int, int]
    cache_tag: str
    suffixes: tuple[str, ...]
    """Ends of the names of extension modules that it can load."""

    @property
    def minor(self) -> str:
        """The version as Lambda's runtimes are named, for instance ``3.13``."""
        return "{}.{}".format(*self.version)

    def run(self, program: str, feed: str) -> str:
        """Run *program*, source text, in a fresh process without packages; return its output."""
        return _run([self.base, "-I", "-S", "-c", program], feed)

    def locate(self, names: Sequence[str]) -> dict[str, tuple[Path, ...]]:
        """Return where it finds each module or package of *names*; unknown ones are left out.

        The running interpreter is asked in this process, which also sees editable installations
        and what this process itself put on ``sys.path``.
        """
        if self.executable == sys.executable:
            return {name: places for name in names if (places := _places(name))}
        found: dict[str, list[str]] = json.loads(
            _run([self.executable, "-I", "-c", _LOCATE, *names])
        )
        return {name: tuple(map(Path, places)) for name, places in found.items()}


def _places(name: str) -> tuple[Path, ...]:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return ()
    # A namespace package has no origin, a module no locations.
    places = spec.submodule_search_locations or [spec.origin or ""]
    return tuple(map(Path, places))


def _run(command: list[str], feed: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=feed, capture_output=True, check=True, encoding="utf-8", env=_NO_HOST
        )
    except OSError as error:
        msg = f"the interpreter {command[0]!r} cannot be started: {error.strerror}; give the path "
        msg += "of a CPython of 3.11 or newer"
        raise ConfigurationError(msg) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        msg = f"{command[0]!r} failed: {lines[-1]}; give the path of a CPython of 3.11 or newer"
        raise ConfigurationError(msg) from error
    return done.stdout


# SYSTEMROOT is what Windows needs to start any program.
_NO_HOST = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}


@functools.cache
def describe(executable: str | None = None) -> Interpreter:
    """Return the interpreter at path *executable*, by default the running one."""
    if executable is None or executable == sys.executable:
        return Interpreter(
            sys.executable,
            getattr(sys, "_base_executable", None) or sys.executable,
            (sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
            sys.implementation.cache_tag,
            tuple(importlib.machinery.EXTENSION_SUFFIXES),
        )
    facts = json.loads(_run([executable, "-I", "-c", _DESCRIBE]))
    return Interpreter(
        executable,
        facts["base"],
        tuple(facts["version"]),
        facts["cache_tag"],
        tuple(facts["suffixes"]),
    )


def bare_command(interpreter: Interpreter, folder: Path) -> list[str]:
    """Return a command that starts *interpreter* without packages, users' files or start-up hooks.

    It is a virtual environment of two files in the new *folder*: stray ``.pth`` files and packages
    of the development environment would make a measured INIT half as dear again. Where symbolic
    links cannot be made, the interpreter itself is taken, without the user's own packages.
    """
    program = folder / "bin" / "python"
    try:
        program.parent.mkdir(parents=True)
        home = Path(interpreter.base).parent
        (folder / "pyvenv.cfg").write_text(
            f"home = {home}\ninclude-system-site-packages = false\n", encoding="utf-8"
        )
        program.symlink_to(interpreter.base)
    except OSError:
        return [interpreter.base, "-s"]
    return [str(program)]
