# ruff: noqa: INP001  (a build script, not a package)
# mypy: ignore-errors
"""Build the extension modules, or none where that is not possible.

``THRIFTGATE_PURE=1``                 build no extension
``THRIFTGATE_REQUIRE_EXTENSIONS=1``   an extension that cannot be built is an error
``THRIFTGATE_SANITIZE=1``             build with the address and undefined-behaviour sanitizers
``THRIFTGATE_TRACE=1``                build for line coverage of the Cython sources; never ship it
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

PURE, REQUIRED, SANITIZE, TRACE = (
    os.environ.get(f"THRIFTGATE_{name}", "0") not in {"", "0"}
    for name in ("PURE", "REQUIRE_EXTENSIONS", "SANITIZE", "TRACE")
)

# Small, because a function's start reads the file. Hardening stays as the distribution has it.
COMPILE = [
    "-O3",  # storing takes longer with -O2, and longer still with -Os
    # No symbols for debuggers or other libraries; what nothing calls can be left out.
    *("-g0", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections"),
    "-fno-asynchronous-unwind-tables",  # nothing here unwinds
    "-fno-tree-vectorize",  # loops are short here
    # With gcc: no padding, and no code twice but where the source says "inline". Clang, which is
    # Zig's compiler too, passes over most of these.
    *("-fno-align-functions", "-fno-align-jumps", "-fno-align-loops", "-fno-align-labels"),
    "-fno-inline-small-functions",
]
LINK = []
# What does not know these refuses to work: clang the first, macOS's linker the others.
COMPILE_IF_KNOWN = ["-freorder-blocks-algorithm=simple"]
LINK_IF_KNOWN = [
    [  # the last one: no gaps between code and data up to the next page
        *("-Wl,--gc-sections", "-Wl,-O1", "-Wl,--hash-style=gnu", "-Wl,--build-id=none", "-Wl,-s"),
        "-Wl,-z,common-page-size=64",
    ],
    ["-Wl,-z,noseparate-code"],  # newer than the others
]
# The second is code for making objects faster that are made once.
MACROS = [("CYTHON_COMPRESS_STRINGS", "0"), ("CYTHON_VECTORCALL_TPNEW", "0")]
DIRECTIVES = {"binding": False, "auto_pickle": False}
if SANITIZE:
    # An interpreter's own flags may say that signed numbers wrap; another's do not.
    COMPILE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-fno-wrapv"]
    COMPILE, LINK = [*COMPILE, "-fsanitize=address,undefined"], ["-fsanitize=address,undefined"]
if TRACE:
    COMPILE, LINK = ["-O1", "-g"], []
    MACROS += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    DIRECTIVES.update(binding=True, linetrace=True)


class BuildExtension(build_ext):
    """Report what goes wrong, and go on without the extension unless it is required."""

    def build_extension(self, ext: Extension) -> None:
        """Build *ext*; setuptools itself forgives only some of the errors."""
        try:
            if not (SANITIZE or TRACE):
                self._add_what_is_known(ext)
            super().build_extension(ext)
        except Exception as error:
            if REQUIRED:
                raise
            print(  # noqa: T201  the build's log is where people look
                f"{ext.name} is not built, so thriftgate will run its pure-Python path: {error}",
                file=sys.stderr,
            )

    def _add_what_is_known(self, ext: Extension) -> None:
        with TemporaryDirectory() as folder:
            source = f"{folder}/empty.c"
            Path(source).touch()
            objects = self.compiler.compile([source], "/")
            with suppress(CompileError):
                self.compiler.compile([source], "/", extra_postargs=COMPILE_IF_KNOWN)
                ext.extra_compile_args = [*ext.extra_compile_args, *COMPILE_IF_KNOWN]
            for number, options in enumerate(LINK_IF_KNOWN):
                target = f"{folder}/{number}.so"  # one that is there is not linked again
                with suppress(LinkError):
                    self.compiler.link_shared_object(objects, target, extra_postargs=options)
                    ext.extra_link_args = [*ext.extra_link_args, *options]

    def copy_extensions_to_source(self) -> None:
        """Copy into the source tree what has been built, for an editable installation."""
        self.extensions = [
            ext for ext in self.extensions if Path(self.build_lib, self._built(ext)).exists()
        ]
        super().copy_extensions_to_source()

    def _built(self, ext: Extension) -> str:
        return self.get_ext_filename(self.get_ext_fullname(ext.name))


def extension_modules() -> list[Extension]:
    """Return the extension modules, translated to C."""
    if PURE or sys.implementation.name != "cpython":
        return []
    from Cython.Build import cythonize

    return cythonize(
        [
            Extension(
                "fastpath_ext._extension",
                ["src/fastpath_ext/_extension.pyx"],
                define_macros=MACROS,
                extra_compile_args=COMPILE,
                extra_link_args=LINK,
            )
        ],
        compiler_directives=DIRECTIVES,
    )


setup(ext_modules=extension_modules(), cmdclass={"build_ext": BuildExtension})
