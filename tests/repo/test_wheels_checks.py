"""A wheel that is as it should be has no fault, and each planted fault is found."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tools.wheels_checks import SIZE_LIMIT, faults, module_name

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parents[2] / "packages" / "fastpath_ext"
INFO = "thriftgate_fastpath_ext-0.1.0.dist-info"
MODULE = "fastpath_ext/_extension.cpython-312-aarch64-linux-gnu.so"
NAME = "{}-{}-cp312-cp312-manylinux2014_{}.manylinux_2_17_{}.whl"
X86_64, AARCH64 = 62, 183
# Types of sections and tags of the dynamic one, by their names in the ELF specification.
STRTAB, DYNAMIC, SYMTAB, VERNEED = 3, 6, 2, 0x6FFFFFFE
NULL, NEEDED, RUNPATH = 0, 1, 29


def elf(
    *,
    machine: int = AARCH64,
    needed: str = "libc.so.6",
    symbol: str = "GLIBC_2.17",
    section: str = "",
    runpath: str = "",
    size: int = 0,
) -> bytes:
    """Return the smallest shared object that says what it needs, and from where."""
    strings = b"\0".join(text.encode() for text in ("", needed, symbol, runpath, ""))
    at = {text: strings.index(b"\0" + text.encode() + b"\0") + 1 for text in (needed, symbol)}
    tags = [(NEEDED, at[needed]), (NULL, 0)]
    if runpath:
        tags.insert(0, (RUNPATH, strings.index(runpath.encode())))
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    need = struct.pack("<HHIII", 1, 1, at[needed], 16, 0)
    need += struct.pack("<IHHII", 0, 0, 2, at[symbol], 0)
    # Name, type, content, link to the strings, information: here the count of libraries.
    sections = [
        ("", 0, b"", 0, 0),
        (".dynstr", STRTAB, strings, 0, 0),
        (".dynamic", DYNAMIC, dynamic, 1, 0),
        (".gnu.version_r", VERNEED, need, 1, 1),
    ]
    if section:
        sections.append((section, SYMTAB if section == ".symtab" else 1, b"", 1, 0))
    names = b"\0".join(name.encode() for name, *_ in sections) + b"\0.shstrtab\0"
    sections.append((".shstrtab", STRTAB, names, 0, 0))
    body, headers = b"", b""
    for name, kind, content, link, info in sections:
        offset = 64 + len(body)
        where = names.index(name.encode() + b"\0")
        entry = {DYNAMIC: 16, SYMTAB: 24}.get(kind, 0)
        headers += struct.pack(
            "<IIQQQQIIQQ", where, kind, 0, 0, offset, len(content), link, info, 1, entry
        )
        body += content
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    counts = (64, 0, 0, 64, len(sections), len(sections) - 1)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 64 + len(body), 0, *counts)
    return (header + body + headers).ljust(size, b"\0")


def files(**options: object) -> dict[str, bytes]:
    """Return the content of a wheel for Python 3.12 on aarch64."""
    source = PROJECT / "src"
    tags = "".join(
        f"Tag: cp312-cp312-{each}_aarch64\n" for each in ("manylinux_2_17", "manylinux2014")
    )
    return {
        **{str(file.relative_to(source)): b"" for file in source.rglob("*.py")},
        "fastpath_ext/_extension.pyi": b"",
        "fastpath_ext/py.typed": b"",
        MODULE: elf(**options),  # type: ignore[arg-type]  # the keywords of elf
        f"{INFO}/METADATA": b"Name: thriftgate-fastpath-ext\nVersion: 0.1.0\n",
        f"{INFO}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n{tags}".encode(),
        f"{INFO}/RECORD": b"",
        f"{INFO}/top_level.txt": b"fastpath_ext\n",
        f"{INFO}/licenses/LICENSE": b"",
    }


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that packs a wheel and returns its faults."""

    def pack(
        content: dict[str, bytes],
        name: str = NAME.format("thriftgate_fastpath_ext", "0.1.0", "aarch64", "aarch64"),
    ) -> list[str]:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("fastpath_ext/", b"")
            for file, data in content.items():
                archive.writestr(file, data)
        return faults(path, PROJECT, "3.12", "aarch64")

    return pack


def test_a_wheel_as_it_should_be_has_no_fault(found: Callable[..., list[str]]) -> None:
    assert module_name("3.12", "aarch64") == MODULE
    assert found(files()) == []
    assert found(files(size=SIZE_LIMIT)) == []


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"machine": X86_64}, "has a module for EM_X86_64, not EM_AARCH64"),
        ({"needed": "libgcc_s.so.1"}, "has a module that needs libgcc_s.so.1"),
        (
            {"symbol": "GLIBC_2.18"},
            "has a module that needs GLIBC_2.18, newer than GLIBC_2.17",
        ),
        (
            {"symbol": "GLIBC_ABI_DT_RELR"},
            "has a module that needs GLIBC_ABI_DT_RELR, newer than GLIBC_2.17",
        ),
        (
            {"runpath": "/opt/python"},
            "has a module that looks for libraries in a folder of its builder",
        ),
        ({"section": ".symtab"}, "has a module that is not stripped: it has .symtab"),
        ({"section": ".debug_info"}, "has a module that is not stripped: it has .debug_info"),
        (
            {"size": SIZE_LIMIT + 1},
            f"has a module of {SIZE_LIMIT + 1:,} bytes, over the limit of {SIZE_LIMIT:,}",
        ),
    ],
)
def test_a_module_that_would_not_do_is_a_fault(
    found: Callable[..., list[str]], options: dict[str, object], fault: str
) -> None:
    assert found(files(**options)) == [fault]


def test_a_module_of_the_oldest_symbols_will_do(found: Callable[..., list[str]]) -> None:
    assert found(files(symbol="GLIBC_2.2.5")) == []


def test_a_module_that_is_no_module_is_a_fault(found: Callable[..., list[str]]) -> None:
    assert found(files() | {MODULE: b"#!/bin/sh"}) == ["has a module that is no ELF file"]


@pytest.mark.parametrize(
    "file",
    [
        "fastpath_ext/_extension.c",
        "fastpath_ext/_store.pyx",
        "fastpath_ext/_second.cpython-312-aarch64-linux-gnu.so",
        "tests/test_store.py",
        "thriftgate_fastpath_ext.libs/libz.so.1",
    ],
)
def test_a_file_too_many_is_a_fault(found: Callable[..., list[str]], file: str) -> None:
    assert found(files() | {file: b""}) == [f"has {file}, which has no place in it"]


@pytest.mark.parametrize("file", sorted(files()))
def test_a_file_too_few_is_a_fault(found: Callable[..., list[str]], file: str) -> None:
    content = files()
    del content[file]
    assert found(content) == [f"lacks {file}"]


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        (
            NAME.format("thriftgate_cores", "0.1.0", "aarch64", "aarch64"),
            ["is called thriftgate-cores 0.1.0, not thriftgate-fastpath-ext 0.1.0"],
        ),
        (
            NAME.format("thriftgate_fastpath_ext", "0.2.0", "aarch64", "aarch64"),
            ["is called thriftgate-fastpath-ext 0.2.0, not thriftgate-fastpath-ext 0.1.0"],
        ),
        (
            NAME.format("thriftgate_fastpath_ext", "0.1.0", "x86_64", "x86_64"),
            [
                "is tagged cp312-cp312-manylinux2014_x86_64 and cp312-cp312-manylinux_2_17_x86_64,"
                " not cp312-cp312-manylinux2014_aarch64 and cp312-cp312-manylinux_2_17_aarch64"
            ],
        ),
        (
            "thriftgate_fastpath_ext-0.1.0-cp312-cp312-manylinux_2_28_aarch64.whl",
            [
                "is tagged cp312-cp312-manylinux_2_28_aarch64, not"
                " cp312-cp312-manylinux2014_aarch64 and cp312-cp312-manylinux_2_17_aarch64"
            ],
        ),
        ("extension.whl", ["is called extension.whl, which is no name of a wheel"]),
    ],
)
def test_a_name_that_is_not_its_own_is_a_fault(
    found: Callable[..., list[str]], name: str, complaints: list[str]
) -> None:
    assert found(files(), name) == complaints


def test_metadata_that_disagree_with_the_name_are_a_fault(found: Callable[..., list[str]]) -> None:
    content = files() | {
        f"{INFO}/WHEEL": b"Root-Is-Purelib: true\n",
        f"{INFO}/METADATA": b"Name: thriftgate-fastpath-ext\nVersion: 0.2.0\n",
    }
    assert found(content) == [
        (
            "says in WHEEL that its tags are none, not cp312-cp312-manylinux2014_aarch64 and"
            " cp312-cp312-manylinux_2_17_aarch64"
        ),
        "says in WHEEL that it is plain Python",
        "says in METADATA that it is thriftgate-fastpath-ext 0.2.0",
    ]


def test_a_file_that_is_no_archive_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"")
    assert faults(tmp_path / "a.whl", PROJECT, "3.12", "aarch64") == ["is no zip archive"]
