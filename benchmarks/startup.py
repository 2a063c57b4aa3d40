"""What importing the extension costs, next to the least that importing any extension costs."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import settings, show_progress

FLOOR = """\
#include <Python.h>
static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_floor", NULL, 0, NULL, slots};
PyMODINIT_FUNC PyInit__floor(void) { return PyModuleDef_Init(&module); }
"""

# The Lambda runtime has imported the first line's modules before a function's code runs.
IMPORT = """\
import dataclasses, enum, json, logging, threading, time, sys
sys.path.insert(0, sys.argv[1])
import importlib, package
name = sys.argv[2]
known = set(sys.modules)
start = time.perf_counter_ns()
importlib.import_module(name)
spent = time.perf_counter_ns() - start
print(json.dumps([spent / 1000, sorted(set(sys.modules) - known - {name})]))
"""


@dataclass(frozen=True)
class Imports:
    """The least microseconds of the two imports, and what the extension's brought along."""

    extension_us: float
    floor_us: float
    further_modules: list[str]
    size: int


def extension() -> Path | None:
    """Return the file of the compiled extension, if there is one."""
    spec = importlib.util.find_spec("fastpath_ext._extension")
    return Path(spec.origin) if spec and spec.origin else None


def compile_floor(folder: Path) -> None:
    """Compile a module that does nothing."""
    source = folder / "floor.c"
    source.write_text(FLOOR)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    include = sysconfig.get_path("include")
    flags = ["-O2", "-shared", "-fPIC", "-s", f"-I{include}", "-o", str(folder / f"_floor{suffix}")]
    subprocess.run([*compiler, *flags, str(source)], check=True)


def import_times(rounds: int) -> Imports | None:
    """Measure the imports in fresh processes that take turns; None without an extension.

    Both modules lie in one package that is otherwise empty, so that both are searched for alike.
    """
    file = extension()
    if file is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "package"
        package.mkdir()
        (package / "__init__.py").write_text("")
        shutil.copy(file, package)
        compile_floor(package)
        best = {"package._floor": float("inf"), "package._extension": float("inf")}
        added: dict[str, list[str]] = {}
        for done in range(rounds):
            for name, least in best.items():
                us, added[name] = imported(scratch, name)
                best[name] = min(least, us)
            show_progress("imports: round", done + 1, rounds)
    return Imports(
        extension_us=round(best["package._extension"], 1),
        floor_us=round(best["package._floor"], 1),
        # The extension enters itself under the name that it was compiled for as well.
        further_modules=[
            it for it in added["package._extension"] if it != f"{file.parent.name}._extension"
        ],
        size=file.stat().st_size,
    )


def imported(folder: str, name: str) -> tuple[float, list[str]]:
    """Import a module in a fresh process; return the microseconds and what else that loaded."""
    ran = subprocess.run(
        [sys.executable, "-S", "-E", "-c", IMPORT, folder, name],
        stdout=subprocess.PIPE,
        check=True,
        env=settings(),
    )
    us, added = json.loads(ran.stdout)
    return us, added
