"""Make the virtual environments behind dev.py's verbs: once, visibly, and never half.

An environment is a folder with a stamp per dependency group. A stamp holds the hash of what the
group was installed from; all stamps are taken away before anything is installed and written back
after everything was, so an interrupted installation is repeated.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from tools import installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGES = ("cores", "gateway", "ha_extension")  # fastpath_ext is installed apart: it may fail
EXTENSION = "fastpath_ext"
# What the extension was built as. An environment that has the later one serves the earlier.
BUILDS = ("pure", "optional", "required")

PreparationError = installation.PreparationError


class Environment:
    """A virtual environment for one use of the repository at `root`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._stamps = folder / "stamps"
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def prepare(
        self,
        groups: Sequence[str],
        requirements: Path | None = None,
        *,
        packages: bool = True,
    ) -> Path:
        """Install what is missing and return the environment's interpreter.

        `requirements` is a further file of pinned requirements, for benchmarks. Without `packages`
        the four packages are not installed in place.
        """
        sources = self._sources(requirements)
        if not self._serves_this_interpreter():
            self._make()
        missing = [name for name in groups if not self._is_stamped(name, [f"{sources} {name}"])]
        if missing:
            kept = self._take_stamps()
            installed = self._install(missing, requirements)
            self._put_stamps(kept | {name: f"{sources} {name}" for name in installed})
        builds = self._builds(sources)
        if packages and not self._is_stamped("packages", builds):
            (self._stamps / "packages").unlink(missing_ok=True)
            self._install_packages()
            self._put_stamps({"packages": builds[0]})
        return self.python

    def _take_stamps(self) -> dict[str, str]:
        kept = {stamp.name: stamp.read_text() for stamp in self._stamps.iterdir()}
        for name in kept:
            (self._stamps / name).unlink()
        return kept

    def _put_stamps(self, stamps: dict[str, str]) -> None:
        for name, content in stamps.items():
            (self._stamps / name).write_text(content)

    def _sources(self, requirements: Path | None) -> str:
        """Return the hash of all that decides what is installed."""
        files = [
            self._root / "pyproject.toml",
            *sorted(self._root.glob("packages/*/pyproject.toml")),
            *sorted(self._root.glob("packages/*/setup.py")),
            *([requirements] if requirements else []),
        ]
        return _digest(_interpreter(), files)

    def _builds(self, sources: str) -> list[str]:
        """Return the acceptable contents of the packages' stamp, the one to be made first."""
        compiled = sorted(self._root.glob("packages/*/src/**/*.p[yx][xd]"))
        digest = _digest(f"{sources} {_compiler()}", compiled)
        wanted = "optional"
        if _is_set("THRIFTGATE_PURE"):
            wanted = "pure"
        if _is_set("THRIFTGATE_REQUIRE_EXTENSIONS"):
            wanted = "required"
        return [f"{digest} {build}" for build in BUILDS[BUILDS.index(wanted) :]]

    def _is_stamped(self, name: str, contents: list[str]) -> bool:
        try:
            return (self._stamps / name).read_text() in contents
        except OSError:
            return False

    def _serves_this_interpreter(self) -> bool:
        """Tell whether the folder is an environment of this interpreter, made at this place."""
        try:
            made_by = (self._folder / "made-by").read_text()
        except OSError:
            return False
        return made_by == self._identity() and self.python.exists() and self._has_installer()

    def _has_installer(self) -> bool:
        return bool(shutil.which("uv") or any(self._folder.glob("[Ll]ib/**/site-packages/pip")))

    def _identity(self) -> str:
        return f"{_interpreter()}\n{self._folder}\n"

    def _make(self) -> None:
        uv = shutil.which("uv")
        if not uv:
            _require_venv()
        shown = self._folder.relative_to(self._root)
        what = f"making {shown} with Python {sys.version.split()[0]}"
        if self._folder.exists() or self._folder.is_symlink():
            what += " (again: another interpreter or folder made the one that is there)"
            if self._folder.is_symlink():
                self._folder.unlink()
            else:
                shutil.rmtree(self._folder)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        base = _base_interpreter()
        command = [uv, "venv", "--python", base] if uv else [base, "-m", "venv"]
        log = self._folder.with_name(f"{self._folder.name}-installation.log")
        installation.run(what, [*command, str(self._folder)], log)
        log.unlink()
        self._stamps.mkdir()
        (self._folder / "made-by").write_text(self._identity())

    def _install(self, groups: Sequence[str], requirements: Path | None) -> list[str]:
        """Install dependency groups and return the names of all that are there now."""
        table = tomllib.loads((self._root / "pyproject.toml").read_text())["dependency-groups"]
        names = list(dict.fromkeys(name for group in groups for name in _included(table, group)))
        wanted = [item for name in names for item in table[name] if isinstance(item, str)]
        if requirements:
            wanted += ["-r", str(requirements)]
        shown = " and ".join(groups)
        what = f"installing what {shown} needs ({len(wanted)} requirements)"
        self.pip(what, "install", wanted)
        return names

    def _install_packages(self) -> None:
        """Install the four packages in place; only the extension may fail."""
        editable = ["--no-build-isolation", "--no-deps"]
        folders = [self._root / "packages" / name for name in PACKAGES]
        found = [folder for folder in folders if (folder / "pyproject.toml").is_file()]
        if found:
            names = ", ".join(folder.name for folder in found)
            arguments = [argument for folder in found for argument in ("-e", str(folder))]
            self.pip(f"installing {names} in place", "install", [*editable, *arguments])
        extension = self._root / "packages" / EXTENSION
        if not (extension / "pyproject.toml").is_file():
            return
        required = _is_set("THRIFTGATE_REQUIRE_EXTENSIONS")
        if required and not _compiler():
            msg = (
                "THRIFTGATE_REQUIRE_EXTENSIONS is set and no C compiler was found. Install gcc or"
                " clang (on Debian: sudo apt install gcc python3-dev) or unset the variable."
            )
            raise PreparationError(msg)
        try:
            self.pip(f"compiling {EXTENSION}", "install", [*editable, "-e", str(extension)])
        except PreparationError:
            if required:
                raise
        self._say_what_runs()

    def _say_what_runs(self) -> None:
        code = f"import {EXTENSION} as e; print(e.COMPILED and 1 or '', e.reason or '', sep='|')"
        environment = {k: v for k, v in os.environ.items() if k != "THRIFTGATE_PURE"}
        answer = subprocess.run(
            [str(self.python), "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if answer.stdout.startswith("1"):
            return
        compiler = _compiler()
        remedy = (
            f"the compiler {compiler} is there, so look at {self._log().relative_to(self._root)};"
            " on Debian the headers are in python3-dev"
            if compiler
            else "no C compiler was found; install gcc or clang and run this again to have it"
        )
        installation.say(f"note: going on in pure Python, without the extension ({remedy}).")

    def pip(self, what: str, command: str, arguments: Sequence[str]) -> None:
        """Run one of pip's commands here, by uv where that is found."""
        uv = shutil.which("uv")
        if uv:
            words = [uv, "pip", command, "--python", str(self.python), *arguments]
        else:
            words = [str(self.python), "-m", "pip", command, *arguments]
        installation.run(what, words, self._log(), self._root)

    def _log(self) -> Path:
        return self._folder / "installation.log"


def _digest(start: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(start.encode())
    for file in files:
        digest.update(f"\n{file}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _included(table: dict[str, list[object]], group: str) -> Iterator[str]:
    """Yield a dependency group and all the groups it includes."""
    yield group
    for item in table[group]:
        if isinstance(item, dict):
            yield from _included(table, str(item["include-group"]))


def without_switches() -> dict[str, str]:
    """Return this process's environment without the switches of the developer's shell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("THRIFTGATE_")}


def _is_set(switch: str) -> bool:
    return os.environ.get(switch, "") not in {"", "0"}


def _base_interpreter() -> str:
    """Return the interpreter itself, also when a virtual environment started this process."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _interpreter() -> str:
    return f"{sys.version} {_base_interpreter()}"


def _compiler() -> str:
    """Return the C compiler that setuptools will call, or an empty string."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cl"
    return shutil.which(str(command).split()[0]) or ""


def _require_venv() -> None:
    """Raise when this Python can make no virtual environment, saying what to install."""
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    msg = (
        "this Python cannot make virtual environments, because its ensurepip or venv module is"
        f" missing. On Debian and Ubuntu run: sudo apt install python{version}-venv. Or install uv"
        " (https://docs.astral.sh/uv/), which dev.py uses when it finds it on PATH."
    )
    raise PreparationError(msg)
