"""Lay a function's folder out as Lambda unpacks it: code, and bytecode that is always taken.

Bytecode is of the *unchecked-hash* kind, in ``__pycache__``: the only kind that no file time can
make stale, and cheaper than one that reads the source at each import. The price is that an edit of
a laid-out ``.py`` has no effect; edit the source and lay out again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cores.errors import ConfigurationError
from gateway.cli.interpreter import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.cli.interpreter import Interpreter

# Development's own, wherever it appears.
_PRUNED_FOLDERS = frozenset({"__pycache__", "tests", "test", "node_modules"})
_PRUNED_SUFFIXES = frozenset({".pyc", ".pyi", ".pyx", ".pxd", ".c"})
# What a package of ours has for the desk and not for the cloud.
_PRUNED_PARTS = {
    "gateway": ("cli", "__main__.py"),
    "ha_extension": ("demo_home", "doctor", "doctor.py"),
}
_EXTENSIONS = frozenset({".so", ".pyd"})
# How the tag of an extension module starts; without one it may be a plain shared library.
_TAGS = ("cpython-", "cp3", "pypy")

_COMPILE = """\
import importlib.util, json, py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
failed = []
for path, name in json.load(sys.stdin):
    try:
        target = importlib.util.cache_from_source(path, optimization="")
        py_compile.compile(path, target, name, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError:
        failed.append(path)
print(json.dumps(failed))
"""


class LayoutError(ConfigurationError):
    """A folder cannot be laid out as asked."""


@dataclass(frozen=True)
class Part:
    """One import package of a layout, or the user's own folder (name ``""``)."""

    name: str
    files: int
    bytes: int
    """Without bytecode."""


@dataclass(frozen=True)
class Layout:
    """A laid-out folder."""

    root: Path
    parts: tuple[Part, ...]
    bytecode_bytes: int
    uncompiled: tuple[str, ...]
    """Relative paths of sources with a syntax error; importing them raises it."""
    reused: bool
    """True when nothing had changed, so nothing was written."""


def lay_out(
    target: Path | str,
    packages: Sequence[str] = (),
    *,
    folder: Path | str | None = None,
    files: Mapping[str, Path] | None = None,
    pure: bool = False,
    python: str | None = None,
    code_root: str = "/var/task",
) -> Layout:
    """Lay *packages*, the user's own *folder* and single *files* out in *target*.

    *packages* are import names, found in the environment of *python* (a path, by default the
    running interpreter) or else in the running one, editable installations included. Left out are
    tests, caches, stubs, C and Cython sources, extension modules that *python* cannot load (all
    of them when *pure*), the command line and the demo home of this toolkit, and of *folder* also
    hidden files and virtual environments. *files* maps paths in *target* to files. Bytecode names
    its sources under *code_root*; an import puts the true place back.

    *target* must be new, empty, or made by this function; it is replaced as a whole, and left
    alone when no source has changed. A note of what it holds is kept beside it, as
    ``<target>.json``. Raises LayoutError.
    """
    target = Path(target).absolute()
    interpreter = describe(python)
    note = target.with_name(target.name + ".json")
    sources = list(_of_packages(packages, interpreter, pure=pure))
    sources += [_Source("", path, origin) for path, origin in (files or {}).items()]
    if folder is not None:
        sources += _of_folder(Path(folder).absolute(), {target, note}, interpreter, pure=pure)
    _check_names(sources)
    key = _key(sources, interpreter, code_root)
    if (layout := _recall(note, target, key)) is not None:
        return layout
    if target.exists() and not note.exists() and any(target.iterdir()):
        msg = f"{str(target)!r} is not empty and was not laid out here; give a new or empty folder"
        raise LayoutError(msg)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            fresh = Path(scratch) / "new"
            _copy(sources, fresh)
            uncompiled = _compile(fresh, interpreter, code_root)
            layout = _report(target, fresh, sources, uncompiled)
            return _publish(fresh, layout, note, key)
    except OSError as error:
        msg = f"{str(target)!r} cannot be written: {error}; give a folder that can"
        raise LayoutError(msg) from error


@dataclass(frozen=True)
class _Source:
    part: str
    path: str
    origin: Path


def _of_packages(
    names: Sequence[str], interpreter: Interpreter, *, pure: bool
) -> Iterator[_Source]:
    found = interpreter.locate(names)
    if interpreter != describe():
        found = describe().locate(names) | found
    for name in names:
        if name not in found:
            msg = f"no package {name!r} is installed for {interpreter.executable}; install it there"
            raise LayoutError(msg)
        pruned = _PRUNED_PARTS.get(name, ())
        for place in found[name]:
            for path in (
                _walk(place, {place / part for part in pruned}) if place.is_dir() else [place]
            ):
                if _is_wanted(path, interpreter, pure=pure):
                    base = place if place.is_dir() else place.parent
                    prefix = f"{name}/" if place.is_dir() else ""
                    yield _Source(name, prefix + path.relative_to(base).as_posix(), path)


def _of_folder(
    folder: Path, left_out: AbstractSet[Path], interpreter: Interpreter, *, pure: bool
) -> Iterator[_Source]:
    if not folder.is_dir():
        msg = f"the function's folder {str(folder)!r} does not exist; give the one of its handler"
        raise LayoutError(msg)
    for path in _walk(folder, left_out, hidden=False):
        if _is_wanted(path, interpreter, pure=pure):
            yield _Source("", path.relative_to(folder).as_posix(), path)


def _walk(folder: Path, left_out: AbstractSet[Path], *, hidden: bool = True) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path in left_out or (path.name.startswith(".") and not hidden):
            continue
        if not path.is_dir():
            yield path
        elif path.name not in _PRUNED_FOLDERS and not (path / "pyvenv.cfg").exists():
            yield from _walk(path, left_out, hidden=hidden)


def _is_wanted(path: Path, interpreter: Interpreter, *, pure: bool) -> bool:
    if path.suffix in _EXTENSIONS:
        tail = path.name.partition(".")[2]
        return not pure and (f".{tail}" in interpreter.suffixes or not tail.startswith(_TAGS))
    return path.suffix not in _PRUNED_SUFFIXES


def _check_names(sources: Sequence[_Source]) -> None:
    packages = {source.part for source in sources if source.part}
    for source in sources:
        top = source.path.partition("/")[0]
        if not source.part and top.removesuffix(".py") in packages:
            msg = (
                f"the function's folder and a package both bring {top!r}; rename the one in the "
                "folder or leave the package out"
            )
            raise LayoutError(msg)


def _key(sources: Sequence[_Source], interpreter: Interpreter, code_root: str) -> str:
    content = hashlib.sha256(repr((interpreter.version, code_root)).encode())
    for source in sources:
        digest = hashlib.sha256(source.origin.read_bytes()).hexdigest()
        content.update(f"{source.part}\0{source.path}\0{digest}\n".encode())
    return content.hexdigest()


def _copy(sources: Sequence[_Source], root: Path) -> None:
    root.mkdir()
    for source in sources:
        destination = root / source.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.origin, destination)


def _compile(root: Path, interpreter: Interpreter, code_root: str) -> tuple[str, ...]:
    paths = sorted(root.rglob("*.py"))
    jobs = [(str(path), f"{code_root}/{path.relative_to(root).as_posix()}") for path in paths]
    # A fresh process: what is loaded in this one can change the bytecode that comes out.
    failed = json.loads(interpreter.run(_COMPILE, json.dumps(jobs)))
    return tuple(Path(path).relative_to(root).as_posix() for path in failed)


def _report(
    target: Path, fresh: Path, sources: Sequence[_Source], uncompiled: tuple[str, ...]
) -> Layout:
    parts: dict[str, list[int]] = {}
    for source in sources:
        parts.setdefault(source.part, []).append((fresh / source.path).stat().st_size)
    return Layout(
        root=target,
        parts=tuple(Part(name, len(sizes), sum(sizes)) for name, sizes in parts.items()),
        bytecode_bytes=sum(path.stat().st_size for path in fresh.rglob("*.pyc")),
        uncompiled=uncompiled,
        reused=False,
    )


def _publish(fresh: Path, layout: Layout, note: Path, key: str) -> Layout:
    # The note first: whoever finds the folder finds what it holds.
    fresh.with_name("note").write_text(_document(layout, key, _inventory(fresh)), encoding="utf-8")
    fresh.with_name("note").replace(note)
    # Another process may have been faster, and may be running from its result by now.
    if (other := _recall(note, layout.root, key)) is not None:
        return other
    if layout.root.exists():
        layout.root.rename(fresh.with_name("old"))
    fresh.rename(layout.root)
    return layout


def _inventory(root: Path) -> dict[str, int]:
    return {
        path.relative_to(root).as_posix(): path.stat().st_size
        for path in root.rglob("*")
        if path.is_file()
    }


def _document(layout: Layout, key: str, files: Mapping[str, int]) -> str:
    document = {
        "key": key,
        "files": files,
        "parts": [[part.name, part.files, part.bytes] for part in layout.parts],
        "bytecode_bytes": layout.bytecode_bytes,
        "uncompiled": layout.uncompiled,
    }
    return json.dumps(document, indent=1)


def _recall(note: Path, target: Path, key: str) -> Layout | None:
    try:
        document = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if document.get("key") != key or document["files"] != _inventory(target):
        return None
    return Layout(
        root=target,
        parts=tuple(Part(*part) for part in document["parts"]),
        bytecode_bytes=document["bytecode_bytes"],
        uncompiled=tuple(document["uncompiled"]),
        reused=True,
    )
