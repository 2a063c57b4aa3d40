from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tools.rules import (
    RULES,
    architecture,
    machine_paths,
    main,
    setting_names,
    settings,
    sources,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from conftest import Tree

CACHE = "packages/cores/src/cores/cache.py"


def added(tree: Tree, rule: Callable[[Path], Iterable[str]], plant: Callable[[], None]) -> set[str]:
    """Return the faults that a rule finds after something was planted, and not before."""
    before = set(rule(tree.root))
    plant()
    return set(rule(tree.root)) - before


@pytest.mark.parametrize("rule", RULES)
def test_the_tree_keeps_the_rule(root: Path, rule: str) -> None:
    assert list(RULES[rule](root)) == []


def test_the_command_says_that_the_rules_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out == "the repository's own rules hold\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("def planted(:\n", "planted.py:1: invalid syntax"),
        ("PLANTED = 1", "planted.py: must end with one newline"),
        ("PLANTED = 1\n\n", "planted.py: must end with one newline"),
        (f"# {'=' * 20}\n", "planted.py:1: a banner; history and authorship belong to git"),
        ("# Version: 1.2\n", "planted.py:1: a banner; history and authorship belong to git"),
        ("#EOF\n", "planted.py:1: a banner; history and authorship belong to git"),
    ],
)
def test_a_module_that_is_not_clean_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "planted.py").write_text(text)
    assert list(sources(tmp_path)) == [fault]


def test_a_path_of_one_machine_is_refused(tmp_path: Path) -> None:
    planted = f"/{'work'}/main"
    (tmp_path / "notes.md").write_text(f"See {planted}.\nLambda has /var/task.\n")
    assert list(machine_paths(tmp_path)) == [f"notes.md:1: a path of one machine: See {planted}."]


def test_generated_files_are_nobodys_business(tmp_path: Path) -> None:
    for folder in (".venv", "build", "x.egg-info", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "planted.py").write_text("def (")
    assert list(sources(tmp_path)) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            "packages/cores/pyproject.toml",
            'version = "0.1.0"',
            'version = "0.2.0"',
            "thriftgate-cores: version 0.2.0, but its CHANGELOG.md begins with ['0.1.0']",
        ),
        (
            "packages/gateway/src/gateway/__init__.py",
            '__version__ = "0.1.0"',
            '__version__ = "0.1.1"',
            "thriftgate-gateway: version 0.1.0, but its __version__ is 0.1.1",
        ),
        (
            "packages/gateway/pyproject.toml",
            "thriftgate-cores>=0.1,<1",
            "thriftgate-cores==0.1.0",
            (
                "thriftgate-gateway: 'thriftgate-cores==0.1.0' is not a sibling with a range like"
                " >=1.2,<2"
            ),
        ),
        (
            "packages/gateway/pyproject.toml",
            "thriftgate-cores>=0.1,<1",
            "thriftgate-cores>=0.9,<1",
            "thriftgate-gateway: 'thriftgate-cores>=0.9,<1' refuses the sibling in the tree, 0.1",
        ),
    ],
)
def test_a_version_that_does_not_fit_is_refused(
    tree: Tree, file: str, old: str, new: str, fault: str
) -> None:
    assert added(tree, versions, lambda: tree.replace(file, old, new)) == {fault}


def test_a_module_that_is_not_named_is_refused(tree: Tree) -> None:
    planted = "packages/cores/src/cores/planted.py"
    assert added(tree, architecture, lambda: tree.add(planted, "PLANTED = 1\n")) == {
        "docs/architecture.md does not name cores/planted.py"
    }


def test_a_folder_that_is_not_named_is_refused(tree: Tree) -> None:
    assert added(tree, architecture, lambda: tree.add("planted/notes.md", "# Notes\n")) == {
        "docs/architecture.md does not name planted/"
    }


def test_a_named_module_that_is_not_there_is_refused(tree: Tree) -> None:
    assert added(tree, architecture, (tree.root / CACHE).unlink) == {
        "docs/architecture.md names cores/cache.py, which is not there"
    }


def test_a_setting_without_a_row_is_refused(tree: Tree) -> None:
    assert added(tree, settings, lambda: tree.add(CACHE, "# THRIFTGATE_PLANTED\n")) == {
        f"THRIFTGATE_PLANTED ({CACHE}) stands in no table of the docs"
    }


def test_a_row_for_a_setting_that_nothing_reads_is_refused(tree: Tree) -> None:
    def plant() -> None:
        tree.add("docs/planted.md", "| `HOME_ASSISTANT_PLANTED` | nothing |\n")

    assert added(tree, settings, plant) == {
        "HOME_ASSISTANT_PLANTED (planted.md) is a setting that no code reads"
    }
    assert "docs/planted.md names HOME_ASSISTANT_PLANTED, which no code reads" in set(
        setting_names(tree.root)
    )


def test_a_second_row_for_a_setting_is_refused(tree: Tree) -> None:
    (fault,) = added(
        tree, settings, lambda: tree.add("docs/zz.md", "| `THRIFTGATE_PURE` | again |\n")
    )
    assert fault == "THRIFTGATE_PURE stands in 2 tables: settings.md, zz.md"
