"""Check the rules of the whole repository that no other tool knows."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"__pycache__", "build", "dist"}
HIDDEN = {".ci", ".github"}  # the other hidden folders are caches and environments
TEXT = {".py", ".pyx", ".toml", ".md", ".yml", ".yaml", ".json", ".txt", ".tf", ".sh", ""}
# Libraries outside the standard library that a core may import: all are extras of thriftgate-cores.
OPTIONAL = {"http_client": {"urllib3"}, "security": {"cryptography", "jwt"}}
SETTING = re.compile(r"\b(?:THRIFTGATE|HOME_ASSISTANT)_[A-Z][A-Z0-9_]*[A-Z0-9]\b")


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files of a checkout with one of the suffixes, without anything generated."""
    for entry in sorted(root.iterdir()):
        name = entry.name
        if entry.is_dir():
            skipped = name in GENERATED or name.endswith(".egg-info")
            if not skipped and (not name.startswith(".") or name in HIDDEN):
                yield from files(entry, *suffixes)
        elif entry.suffix in suffixes and not name.startswith(".coverage"):
            yield entry


def core_imports(root: Path) -> Iterator[str]:
    """Allow a core the standard library and cores.errors, and cores.ports for its types.

    fastpath_ext gets the standard library only. Type-only imports are no exception: a core whose
    types name a sibling cannot be read alone.
    """
    cores = root / "packages/cores/src"
    for file in files(cores / "cores", ".py"):
        own = file.relative_to(cores).with_suffix("").parts[1]
        for line, module, type_only in _imports(file, cores):
            top, _, rest = module.partition(".")
            if top in sys.stdlib_module_names | OPTIONAL.get(own, set()):
                continue
            part = rest.partition(".")[0]
            if top == "cores" and (part in {own, "errors"} or (part == "ports" and type_only)):
                continue
            yield f"{file.relative_to(root)}:{line}: a core may not import {module}"
    extension = root / "packages/fastpath_ext/src"
    for file in files(extension, ".py"):
        for line, module, _ in _imports(file, extension):
            if module.partition(".")[0] not in sys.stdlib_module_names | {"fastpath_ext"}:
                yield f"{file.relative_to(root)}:{line}: fastpath_ext may not import {module}"


def _imports(file: Path, source: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield line, absolute module name and whether it is for type checkers only."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    type_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = file.relative_to(source).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, id(node) in type_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                # `from cores import cache` names a module by its alias.
                name = f"{module}.{alias.name}" if "." not in module else module
                yield node.lineno, name, id(node) in type_only


def sources(root: Path) -> Iterator[str]:
    """Require of every Python file that it parses, ends with a newline and has no banner."""
    banner = re.compile(
        r"^# *(?:[-=*#~]{6,}|(?:Version|Author|Date|File|Copyright|SPDX)\b|EOF)", re.IGNORECASE
    )
    for file in files(root, ".py"):
        name = file.relative_to(root)
        text = file.read_text(encoding="utf-8")
        try:
            ast.parse(text)
        except SyntaxError as error:
            yield f"{name}:{error.lineno}: {error.msg}"
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            yield f"{name}: must end with one newline"
        for number, line in enumerate(text.split("\n"), 1):
            if banner.match(line):
                yield f"{name}:{number}: a banner; history and authorship belong to git"


def machine_paths(root: Path) -> Iterator[str]:
    """Refuse the names of folders of the machine that a file was written on."""
    path = re.compile(r"(?<![\w.-])/(?:tmp|work|root|farm|home|Users)/[\w.-]")
    allowed = re.compile(r"tmp_path|/tmp/(?:\$|\{|thriftgate)|/home/(?:user|runner)/")
    for file in files(root, *TEXT):
        text = file.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.split("\n"), 1):
            if path.search(line) and not allowed.search(line):
                yield f"{file.relative_to(root)}:{number}: a path of one machine: {line.strip()}"


def versions(root: Path) -> Iterator[str]:
    """Hold each version against the package's changelog and its siblings' ranges."""
    projects = {}
    for file in sorted(root.glob("packages/*/pyproject.toml")):
        project = tomllib.loads(file.read_text())["project"]
        projects[project["name"]] = (file.parent, project)
    for name, (folder, project) in projects.items():
        version = project["version"]
        headings = re.findall(
            r"^## \[?(\d[^\]\s]*)", (folder / "CHANGELOG.md").read_text(), re.MULTILINE
        )
        if headings[:1] != [version]:
            yield f"{name}: version {version}, but its CHANGELOG.md begins with {headings[:1]}"
        stated = re.findall(r'^__version__ = "(.*)"', _init(folder).read_text(), re.MULTILINE)
        if stated and stated != [version]:
            yield f"{name}: version {version}, but its __version__ is {stated[0]}"
        extras = project.get("optional-dependencies", {}).values()
        for requirement in [
            *project["dependencies"],
            *(item for extra in extras for item in extra),
        ]:
            if requirement.startswith("thriftgate-"):
                yield from _range(name, requirement, projects)


def _init(folder: Path) -> Path:
    return folder / "src" / folder.name / "__init__.py"


def _range(
    name: str, requirement: str, projects: dict[str, tuple[Path, dict[str, str]]]
) -> Iterator[str]:
    """Check a requirement of a sibling: `>=X.Y,<X+1`, and satisfied by the one in the tree."""
    found = re.fullmatch(r"([a-z-]+)(?:\[[a-z,]+\])?>=(\d+)\.(\d+),<(\d+)", requirement)
    if not found or int(found[4]) != int(found[2]) + 1 or found[1] not in projects:
        yield f"{name}: {requirement!r} is not a sibling with a range like >=1.2,<2"
        return
    major, minor = (int(part) for part in projects[found[1]][1]["version"].split(".")[:2])
    if not (int(found[2]), int(found[3])) <= (major, minor) < (int(found[4]), 0):
        yield f"{name}: {requirement!r} refuses the sibling in the tree, {major}.{minor}"


def architecture(root: Path) -> Iterator[str]:
    """Compare the tables of docs/architecture.md with the modules and top-level folders.

    The first column names a module from its package on (`cores/cache.py`), or a file or folder of
    the root (`tools/`).
    """
    page = (root / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    there = {
        str(file.relative_to(source))
        for source in root.glob("packages/*/src")
        for file in files(source, ".py", ".pyx")
    }
    there |= {
        f"{part[0]}/"
        for part in (file.relative_to(root).parts for file in files(root, *TEXT))
        if len(part) > 1 and not part[0].startswith(".")
    }
    yield from (f"docs/architecture.md does not name {name}" for name in sorted(there - named))
    for name in sorted(named - there):
        if not (root / name).exists():
            yield f"docs/architecture.md names {name}, which is not there"


def settings(root: Path) -> Iterator[str]:
    """Require that each setting stands in one table of the docs, and that each one there exists."""
    read = _settings_read(root)
    rows: dict[str, list[str]] = {}
    for page in files(root, ".md"):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"^\| *`([A-Z_0-9]+)`.*\|$", text, re.MULTILINE):
            if SETTING.fullmatch(name):
                rows.setdefault(name, []).append(page.name)
    for name in sorted(read.keys() - rows.keys()):
        yield f"{name} ({read[name]}) stands in no table of the docs"
    for name in sorted(rows.keys() - read.keys()):
        yield f"{name} ({rows[name][0]}) is a setting that no code reads"
    for name, where in sorted(rows.items()):
        if len(where) > 1:
            yield f"{name} stands in {len(where)} tables: {', '.join(where)}"


def setting_names(root: Path) -> Iterator[str]:
    """Refuse settings that no code reads in docs, examples and templates."""
    read = _settings_read(root)
    for file in files(root, ".md", ".yml", ".yaml", ".tf", ".json"):
        for name in sorted(set(SETTING.findall(file.read_text(encoding="utf-8"))) - read.keys()):
            yield f"{file.relative_to(root)} names {name}, which no code reads"


def _settings_read(root: Path) -> dict[str, Path]:
    """Return the settings that the packages' code names, each with the first file that does."""
    read: dict[str, Path] = {}
    for file in files(root / "packages", ".py", ".pyx"):
        for name in SETTING.findall(file.read_text(encoding="utf-8")):
            read.setdefault(name, file.relative_to(root))
    return read


RULES: dict[str, Callable[[Path], Iterator[str]]] = {
    rule.__name__: rule
    for rule in (
        core_imports,
        sources,
        machine_paths,
        versions,
        architecture,
        settings,
        setting_names,
    )
}


def main() -> int:
    """Print every fault; the exit status is 1 if there is one."""
    faults = [fault for rule in RULES.values() for fault in rule(ROOT)]
    print("\n".join(faults) or "the repository's own rules hold")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
