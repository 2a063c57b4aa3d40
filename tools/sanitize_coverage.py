"""A coverage plugin for Cython modules made of several sources.

Cython's own plugin finds the C file of an included source only if that ends in .pxi, or if a line
of the main source ran first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from Cython.Coverage import Plugin

# What runs at import has one frame for all sources, and the heads of functions, in it or in a
# class, are no lines of their own. Both are in the C file all the same.
CONFIGURATION = """\
[run]
core = ctrace
data_file = {folder}/coverage
plugins = tools.sanitize_coverage
source = {folder}/src/fastpath_ext

[report]
exclude_lines =
    pragma: no cover
    ^[^#\\s]
    ^ +(?:cdef|def)\\s[^=]*\\(
    ^ +@
    ^\\) (?:except|noexcept)
"""


class Finder(Plugin):
    """Cython's plugin, which also looks for included sources that end in .pyx."""

    def _find_source_files(self, filename: str) -> tuple[Any, Any]:
        found: tuple[Any, Any] = super()._find_source_files(filename)  # type: ignore[no-untyped-call]
        if found[0] is None and filename.endswith(".pyx"):
            folder = str(Path(filename).parent)
            self._find_c_source_files(folder, filename)  # type: ignore[no-untyped-call]
            if filename in (self._c_files_map or {}):
                return self._c_files_map[filename][0], None
        return found


def coverage_init(registry: Any, options: object) -> None:
    """Register the plugin; coverage calls this by name."""
    del options
    finder = Finder()
    registry.add_file_tracer(finder)
    registry.add_configurer(finder)  # tells it what to exclude
