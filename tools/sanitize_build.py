"""Build the extension apart from the installed one, as the sanitizers and the tracer need it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tools import installation

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIMES = ("libasan.so", "libubsan.a")
# Both libraries export the function that names the file of a report. Were both preloaded, the
# first one's would answer for both, and the other would write to the error output.
LINK = "-static-libubsan -Wl,--exclude-libs,libubsan.a"
GENERATED = ("build", "*.c", "*.so", "*.egg-info", "__pycache__")

# Stands in for the extension's source: faults that the sanitizers have to find.
PLANTED = '''\
cdef extern from *:
    """
    #include <limits.h>
    #include <stdlib.h>

    static int write_behind(volatile int size) {
        volatile char *memory = malloc(size);
        memory[size] = 1;
        free((void *)memory);
        return 0;
    }

    static int read_freed(volatile int size) {
        volatile char *memory = malloc(size);
        free((void *)memory);
        return memory[0];
    }

    static int count_too_far(volatile int size) {
        volatile int number = INT_MAX - size;
        return number + size + 1;
    }

    static int shift_too_far(volatile int size) {
        return 1 << (size + 31);
    }
    """
    int write_behind(int)
    int read_freed(int)
    int count_too_far(int)
    int shift_too_far(int)

FAULTS = (
    lambda: write_behind(8),
    lambda: read_freed(8),
    lambda: count_too_far(8),
    lambda: shift_too_far(8),
)
'''
# What is reported of each. The process is told a number only, lest it print the words itself.
FAULTS = (
    "heap-buffer-overflow",
    "heap-use-after-free",
    "signed integer overflow",
    "shift exponent",
)


class UnavailableError(Exception):
    """This machine lacks what a build needs; the text says how to get it."""


def build(
    package: Path, folder: Path, switches: Mapping[str, str], *, source: str | None = None
) -> Path:
    """Build a copy of the package in `folder` and return what has to be on Python's path.

    The generated C file stays beside its source, where coverage looks for it. `source` replaces
    that of the extension. Raises PreparationError if it does not compile.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder, ignore=shutil.ignore_patterns(*GENERATED))
    if source is not None:
        (folder / "src/fastpath_ext/_extension.pyx").write_text(source)
    installation.run(
        f"compiling {folder.name}",
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        folder / "build.log",
        folder,
        environment=os.environ
        | {"THRIFTGATE_REQUIRE_EXTENSIONS": "1", "THRIFTGATE_PURE": "0", **switches},
    )
    return folder / "src"


def sanitized_build(package: Path, folder: Path, *, source: str | None = None) -> Path:
    """Build a copy of the package as `build` does, with the sanitizers."""
    preloaded()
    flags = f"{os.environ.get('LDFLAGS', '')} {LINK}"
    return build(package, folder, {"THRIFTGATE_SANITIZE": "1", "LDFLAGS": flags}, source=source)


def preloaded() -> str:
    """Return the library to be preloaded, or raise UnavailableError if a sanitizer is missing."""
    if sys.platform != "linux":
        msg = "the sanitizers are preloaded into the interpreter, which is done on Linux only"
        raise UnavailableError(msg)
    words = (os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")).split()
    compiler = shutil.which(words[0])
    if not compiler:
        msg = f"no C compiler {words[0]!r}; on Debian: sudo apt install gcc python3-dev"
        raise UnavailableError(msg)
    if "clang" in _output(compiler, "--version"):
        msg = f"{compiler} is clang, whose libasan cannot be preloaded like gcc's; set CC=gcc"
        raise UnavailableError(msg)
    libraries = [_output(compiler, f"-print-file-name={name}").strip() for name in RUNTIMES]
    for library in libraries:
        if not Path(library).is_absolute():  # gcc repeats the name of what it does not have
            msg = (
                f"{compiler} has no {library}; Debian ships it with gcc, Fedora in the packages"
                " libasan and libubsan-static"
            )
            raise UnavailableError(msg)
    return libraries[0]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def sanitizer_settings(reports: Path) -> dict[str, str]:
    """Return the environment of a sanitized process, which writes what it finds to `reports`.

    To files, because a test runner keeps the error output, and a subprocess of a test may lose it.
    """
    return {
        "LD_PRELOAD": preloaded(),
        # Python's own allocator hands out parts of large blocks, whose ends no sanitizer knows.
        "PYTHONMALLOC": "malloc",
        # An interpreter that ends leaves thousands of blocks behind: leaks are counted otherwise.
        # Null, because the tests of a lack of memory ask for more than there is.
        "ASAN_OPTIONS": (
            f"log_path={reports}/address:detect_leaks=0:allocator_may_return_null=1"
            ":detect_stack_use_after_return=1:strict_string_checks=1"
        ),
        "UBSAN_OPTIONS": f"log_path={reports}/undefined:print_stacktrace=1:halt_on_error=1",
    }
