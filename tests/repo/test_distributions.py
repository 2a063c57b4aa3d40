"""What is in the wheels and source archives, built without a network from a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from tools.rules import files

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(folder.parent.name for folder in ROOT.glob("packages/*/pyproject.toml"))

# The hooks that every installer calls; without an installer, so that no network is needed.
BUILD = """\
import sys
from setuptools import build_meta
folder = sys.argv[1]  # the first build leaves other arguments there
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build every package once; return the folder with wheel and archive of each."""
    copy = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", "*.so", "*.c")
    shutil.copytree(ROOT / "packages", copy / "packages", ignore=ignored)
    folders = {}
    for name in PACKAGES:
        folders[name] = tmp_path_factory.mktemp(name)
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(folders[name])],
            cwd=copy / "packages" / name,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folders


def wheel_files(folder: Path) -> set[str]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_its_own_package_only(built: dict[str, Path], name: str) -> None:
    info = f"thriftgate_{name}-"
    tops = {file.split("/")[0] for file in wheel_files(built[name])}
    assert {top for top in tops if not top.startswith(info)} == {name}


def test_no_file_is_in_two_wheels(built: dict[str, Path]) -> None:
    packed = [file for folder in built.values() for file in wheel_files(folder)]
    assert len(packed) == len(set(packed))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_every_module_and_its_type_marker(built: dict[str, Path], name: str) -> None:
    source = ROOT / "packages" / name / "src"
    modules = {str(file.relative_to(source)) for file in source.rglob("*.py")}
    assert modules | {f"{name}/py.typed"} <= wheel_files(built[name])


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_the_licence(built: dict[str, Path], name: str) -> None:
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in wheel_files(built[name]))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_source_archive_holds_what_a_build_needs(built: dict[str, Path], name: str) -> None:
    (archive,) = built[name].glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        archived = {file.partition("/")[2] for file in tar.getnames()}
    source = ROOT / "packages" / name
    needed = {
        str(file.relative_to(source)) for file in files(source, ".py", ".pyx", ".pxd", ".toml")
    }
    assert needed | {"README.md", "LICENSE"} <= archived
