from __future__ import annotations

import importlib.machinery
import marshal
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import layout
from gateway.cli.layout import LayoutError, Part, lay_out
from gateway.cli.local_runtime import LocalRuntime

PACKAGES = ("gateway", "cores", "fastpath_ext", "ha_extension", "urllib3")
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
UNCHECKED = 1


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def files_of(root: Path) -> list[str]:
    """Return the files below *root*, bytecode left out."""
    paths = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(path for path in paths if not path.endswith(".pyc"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an installed package with everything that is left out."""
    site = write(
        tmp_path / "site",
        {
            "pack/__init__.py": "",
            "pack/module.py": "VALUE = 1\n",
            "pack/module.pyi": "",
            "pack/data.txt": "data",
            "pack/.hidden": "part of the package",
            "pack/fast.pyx": "",
            "pack/fast.pxd": "",
            "pack/fast.c": "",
            f"pack/fast{SUFFIX}": "an extension",
            "pack/libfast.2.so": "a shared library",
            "pack/fast.cpython-36m-other.so": "an extension for another interpreter",
            "pack/tests/test_pack.py": "",
            "pack/sub/test/test_sub.py": "",
            "pack/sub/__init__.py": "",
            "pack/sub/cli": "a name that only gateway leaves out",
            "pack/testing.py": "",
            "pack/__pycache__/module.cpython-36.pyc": "stale",
            "pack/stray.pyc": "",
            "single.py": "",
            f"native{SUFFIX}": "an extension",
        },
    )
    monkeypatch.syspath_prepend(site)
    return site / "pack"


def test_a_package_is_laid_out_without_what_development_needs(
    package: Path, tmp_path: Path
) -> None:
    laid = lay_out(tmp_path / "task", ["pack", "single", "native"])
    assert files_of(laid.root) == sorted(
        [
            "pack/.hidden",
            "pack/__init__.py",
            "pack/data.txt",
            f"pack/fast{SUFFIX}",
            "pack/libfast.2.so",
            "pack/module.py",
            "pack/sub/__init__.py",
            "pack/sub/cli",
            "pack/testing.py",
            "single.py",
            f"native{SUFFIX}",
        ]
    )
    assert laid.root == tmp_path / "task"
    assert [(part.name, part.files) for part in laid.parts] == [
        ("pack", 9),
        ("single", 1),
        ("native", 1),
    ]
    assert laid.parts[2] == Part("native", 1, len("an extension"))
    assert (laid.uncompiled, laid.reused) == ((), False)


def test_a_pure_layout_has_no_extension_modules(package: Path, tmp_path: Path) -> None:
    laid = lay_out(tmp_path / "task", ["pack", "native"], pure=True)
    assert [path for path in files_of(laid.root) if path.endswith(".so")] == []
    assert [part.name for part in laid.parts] == ["pack"]


def test_bytecode_is_unchecked_and_names_its_place_on_lambda(package: Path, tmp_path: Path) -> None:
    laid = lay_out(tmp_path / "task", ["pack"])
    compiled = sorted(laid.root.rglob("*.pyc"))
    sources = [path for path in files_of(laid.root) if path.endswith(".py")]
    assert len(compiled) == len(sources)
    assert laid.bytecode_bytes == sum(path.stat().st_size for path in compiled)
    tag = sys.implementation.cache_tag
    data = (laid.root / "pack" / "__pycache__" / f"module.{tag}.pyc").read_bytes()
    assert int.from_bytes(data[4:8], "little") == UNCHECKED
    assert marshal.loads(data[16:]).co_filename == "/var/task/pack/module.py"


def test_a_second_call_writes_nothing(package: Path, tmp_path: Path) -> None:
    first = lay_out(tmp_path / "task", ["pack"])
    before = {path: path.stat() for path in [tmp_path / "task.json", *first.root.rglob("*")]}
    second = lay_out(tmp_path / "task", ["pack"])
    after = {path: path.stat() for path in [tmp_path / "task.json", *first.root.rglob("*")]}
    assert second.reused
    assert (second.parts, second.bytecode_bytes) == (first.parts, first.bytecode_bytes)
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items()
    }


def test_what_changed_is_laid_out_again(package: Path, tmp_path: Path) -> None:
    laid = lay_out(tmp_path / "task", ["pack"])
    (package / "module.py").write_text("VALUE = 2\n")
    (package / "data.txt").unlink()
    assert not lay_out(tmp_path / "task", ["pack"]).reused
    assert (laid.root / "pack" / "module.py").read_text() == "VALUE = 2\n"
    assert "pack/data.txt" not in files_of(laid.root)
    (laid.root / "pack" / "module.py").unlink()
    assert not lay_out(tmp_path / "task", ["pack"]).reused
    assert not lay_out(tmp_path / "task", ["pack"], pure=True).reused
    assert not lay_out(tmp_path / "task", ["pack"], pure=True, code_root="/opt/python").reused
    (tmp_path / "task.json").write_text("{")
    assert not lay_out(tmp_path / "task", ["pack"]).reused
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "task", "task.json"]


def test_a_faster_process_is_not_disturbed(package: Path, tmp_path: Path) -> None:
    theirs = lay_out(tmp_path / "task", ["pack"])
    note = tmp_path / "task.json"
    key = re.search('"key": "([0-9a-f]+)"', note.read_text())
    assert key is not None
    fresh = tmp_path / "scratch" / "new"
    shutil.copytree(theirs.root, fresh)
    before = theirs.root.stat().st_ino
    published = layout._publish(fresh, theirs, note, key[1])
    assert published.reused
    assert theirs.root.stat().st_ino == before


def test_the_functions_folder_is_copied_without_what_is_not_the_function(
    package: Path, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "function",
        {
            "app.py": "def handler(event, context): ...\n",
            "app.pyi": "",
            "shared/rules.json": "{}",
            ".env": "a secret",
            ".git/config": "",
            "env/pyvenv.cfg": "",
            "env/lib/module.py": "",
            "tests/test_app.py": "",
            "__pycache__/app.cpython-311.pyc": "",
        },
    )
    (tmp_path / "extra.toml").write_text("")
    files = {"policies/extra.toml": tmp_path / "extra.toml"}
    for _ in range(2):
        laid = lay_out(folder / "build", ["single"], folder=folder, files=files)
    assert laid.reused
    assert files_of(laid.root) == [
        "app.py",
        "policies/extra.toml",
        "shared/rules.json",
        "single.py",
    ]


def test_a_syntax_error_is_reported_and_left_to_the_import(tmp_path: Path) -> None:
    folder = write(tmp_path / "function", {"app.py": "def (", "pkg/fine.py": ""})
    laid = lay_out(tmp_path / "task", folder=folder)
    assert laid.uncompiled == ("app.py",)
    assert len(list(laid.root.rglob("*.pyc"))) == 1
    assert lay_out(tmp_path / "task", folder=folder).uncompiled == ("app.py",)


def test_a_target_with_other_peoples_files_is_left_alone(package: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "task", {"thesis.txt": ""})
    message = f"{str(target)!r} is not empty and was not laid out here; give a new or empty folder"
    with pytest.raises(LayoutError, match=f"^{re.escape(message)}$"):
        lay_out(target, ["pack"])
    assert files_of(target) == ["thesis.txt"]
    (target / "thesis.txt").unlink()
    assert lay_out(target, ["single"]).parts[0].files == 1


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    message = (
        f"no package 'nowhere_to_be_found' is installed for {sys.executable}; install it there"
    )
    with pytest.raises(LayoutError, match=f"^{re.escape(message)}$"):
        lay_out(tmp_path / "task", ["nowhere_to_be_found"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = (
        f"the function's folder {str(tmp_path / 'gone')!r} does not exist; "
        "give the one of its handler"
    )
    with pytest.raises(LayoutError, match=f"^{re.escape(message)}$"):
        lay_out(tmp_path / "task", folder=tmp_path / "gone")


@pytest.mark.parametrize("name", ["pack/__init__.py", "pack.py"])
def test_a_name_that_both_bring_is_refused(package: Path, tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "function", {name: ""})
    top = name.partition("/")[0]
    message = (
        f"the function's folder and a package both bring {top!r}; rename the one in the folder "
        "or leave the package out"
    )
    with pytest.raises(LayoutError, match=f"^{re.escape(message)}$"):
        lay_out(tmp_path / "task", ["pack"], folder=folder)


def test_another_interpreter_gets_its_own_packages_and_the_running_ones(
    package: Path, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    laid = lay_out(tmp_path / "task", ["single", "this"], python=str(python))
    assert files_of(laid.root) == ["single.py", "this.py"]


def test_our_own_packages_leave_the_desk_behind(tmp_path: Path) -> None:
    laid = lay_out(tmp_path / "task", PACKAGES)
    assert [part.name for part in laid.parts] == list(PACKAGES)
    tops = {path.relative_to(laid.root).parts[:2] for path in laid.root.rglob("*")}
    assert ("gateway", "testing.py") in tops
    for left_out in ("cli", "demo_home", "doctor.py", "__main__.py"):
        assert left_out not in {parts[-1] for parts in tops}


@pytest.mark.parametrize("pure", [False, True])
def test_no_import_of_a_laid_out_module_compiles(
    tmp_path: Path, cache: Path, client: str, pure: bool
) -> None:
    source = """
import sys
compiled = []
sys.addaudithook(lambda name, args: compiled.append(str(args[1])) if name == "compile" else None)

import importlib, os

def handler(event, context):
    root = os.environ["LAMBDA_TASK_ROOT"]
    for name in event:
        importlib.import_module(name)
    modules = list(sys.modules.values())
    ours = [m for m in modules if (getattr(m, "__file__", None) or "").startswith(root)]
    return {
        "compiled": [name for name in compiled if name.endswith(".py")],
        "cached": all(os.path.exists(m.__cached__) for m in ours if m.__file__.endswith(".py")),
        "count": len(ours),
        "extensions": [m.__name__ for m in ours if not m.__file__.endswith(".py")],
    }
"""
    folder = write(tmp_path / "function", {"app.py": source})
    laid = lay_out(tmp_path / "task", PACKAGES, folder=folder, pure=pure)
    names = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in files_of(laid.root)
        # What these import for optional features is not installed here.
        if path.endswith(".py") and not path.startswith(("urllib3/", "cores/ports"))
    ]
    with LocalRuntime(laid.root, "app.handler", client=client, cache_dir=cache) as runtime:
        result = runtime.invoke([*names, "urllib3"])
    assert result.error is None
    answer: Any = result.json()
    assert (answer["compiled"], answer["cached"]) == ([], True)
    assert answer["count"] > 20
    assert not (pure and answer["extensions"])
