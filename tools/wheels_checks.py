"""Check a wheel of the extension: its name, what is in it, and what its module needs to load."""

from __future__ import annotations

import re
import tomllib
import zipfile
from email.parser import Parser
from io import BytesIO
from typing import TYPE_CHECKING

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
LIBRARIES = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
GLIBC = (2, 17)  # what a manylinux2014 machine is sure to have
SIZE_LIMIT = 80_000  # bytes of the module, which a function's start reads


def faults(wheel: Path, project: Path, python: str, architecture: str) -> list[str]:
    """Return what is wrong with a wheel of the package at `project`, in words.

    `python` is a version like 3.11, `architecture` a key of MACHINES.
    """
    try:
        archive = zipfile.ZipFile(wheel)
    except zipfile.BadZipFile:
        return ["is no zip archive"]
    with archive:
        return list(_faults(wheel, archive, project, python, architecture))


def module_name(python: str, architecture: str) -> str:
    """Return the name of the extension module in a wheel."""
    tag = f"cpython-{python.replace('.', '')}-{architecture}-linux-gnu"
    return f"fastpath_ext/_extension.{tag}.so"


def _faults(
    wheel: Path, archive: zipfile.ZipFile, project: Path, python: str, architecture: str
) -> Iterator[str]:
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    interpreter = f"cp{python.replace('.', '')}"
    tags = {
        f"{interpreter}-{interpreter}-{platform}_{architecture}"
        for platform in ("manylinux_2_17", "manylinux2014")
    }
    yield from _name_faults(wheel.name, version, tags)
    info = f"thriftgate_fastpath_ext-{version}.dist-info"
    module = module_name(python, architecture)
    expected = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "top_level.txt")}
    expected |= {f"{info}/licenses/LICENSE", module}
    source = project / "src"
    for pattern in ("*.py", "*.pyi", "py.typed"):
        expected |= {str(file.relative_to(source)) for file in source.rglob(pattern)}
    there = {name for name in archive.namelist() if not name.endswith("/")}
    yield from (f"lacks {name}" for name in sorted(expected - there))
    yield from (f"has {name}, which has no place in it" for name in sorted(there - expected))
    if f"{info}/WHEEL" in there:
        stated = Parser().parsestr(archive.read(f"{info}/WHEEL").decode())
        found = set(stated.get_all("Tag", []))
        if found != tags:
            yield f"says in WHEEL that its tags are {_listed(found)}, not {_listed(tags)}"
        if stated["Root-Is-Purelib"] != "false":
            yield "says in WHEEL that it is plain Python"
    if f"{info}/METADATA" in there:
        stated = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        if (stated["Name"], stated["Version"]) != ("thriftgate-fastpath-ext", version):
            yield f"says in METADATA that it is {stated['Name']} {stated['Version']}"
    if module in there:
        yield from _module_faults(archive.read(module), architecture)


def _name_faults(name: str, version: str, tags: set[str]) -> Iterator[str]:
    try:
        distribution, found, _, named = parse_wheel_filename(name)
    except InvalidWheelFilename:
        yield f"is called {name}, which is no name of a wheel"
        return
    if (distribution, str(found)) != ("thriftgate-fastpath-ext", version):
        yield f"is called {distribution} {found}, not thriftgate-fastpath-ext {version}"
    if set(map(str, named)) != tags:
        yield f"is tagged {_listed(set(map(str, named)))}, not {_listed(tags)}"


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "none"


def _module_faults(content: bytes, architecture: str) -> Iterator[str]:
    if len(content) > SIZE_LIMIT:
        yield f"has a module of {len(content):,} bytes, over the limit of {SIZE_LIMIT:,}"
    try:
        elf = ELFFile(BytesIO(content))
    except ELFError:
        yield "has a module that is no ELF file"
        return
    if elf["e_machine"] != MACHINES[architecture]:
        yield f"has a module for {elf['e_machine']}, not {MACHINES[architecture]}"
    for section in elf.iter_sections():
        if section.name == ".symtab" or section.name.startswith(".debug"):
            yield f"has a module that is not stripped: it has {section.name}"
        elif isinstance(section, DynamicSection):
            yield from _library_faults(section)
        elif isinstance(section, GNUVerNeedSection):
            needed = (symbol.name for _, symbols in section.iter_versions() for symbol in symbols)
            for name in filter(_is_too_new, needed):
                yield f"has a module that needs {name}, newer than GLIBC_2.17"


def _library_faults(section: DynamicSection) -> Iterator[str]:
    for tag in section.iter_tags():
        if tag.entry.d_tag == "DT_NEEDED":
            library = tag.needed  # type: ignore[attr-defined]  # what a tag of this type has
            if library not in LIBRARIES:
                yield f"has a module that needs {library}"
        if tag.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"}:
            yield "has a module that looks for libraries in a folder of its builder"


def _is_too_new(version: str) -> bool:
    """Tell whether manylinux2014 may lack a symbol version; those without a number came later."""
    found = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version)
    return not found or (int(found[1]), int(found[2])) > GLIBC
