from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tools.lint import CONTRACTS
from tools.rules import core_imports

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Tree

CORES = "packages/cores/src/cores"
GATEWAY = "packages/gateway/src/gateway"
BRIDGE = "packages/ha_extension/src/ha_extension"

# What is planted, and the contract that is to break.
VIOLATIONS = {
    "core imports a sibling": (
        f"{CORES}/cache.py",
        "import cores.logging",
        "no core imports another",
    ),
    "core imports a sibling in a function": (
        f"{CORES}/cache.py",
        "def planted():\n    from cores.metrics import Metrics",
        "no core imports another",
    ),
    "core imports the gateway": (
        f"{CORES}/cache.py",
        "import gateway",
        "ha_extension > gateway > cores | fastpath_ext",
    ),
    "core imports the extension": (
        f"{CORES}/cache.py",
        "import fastpath_ext",
        "ha_extension > gateway > cores | fastpath_ext",
    ),
    "gateway imports the bridge": (
        f"{GATEWAY}/_wiring.py",
        "import ha_extension",
        "ha_extension > gateway > cores | fastpath_ext",
    ),
    "gateway module besides the wiring imports a core": (
        f"{GATEWAY}/entrypoint.py",
        "from cores.cache import Cache",
        "only the wiring names cores",
    ),
    "public functions import a core": (
        f"{GATEWAY}/__init__.py",
        "import cores.cache",
        "only the wiring names cores",
    ),
    "bridge imports a core": (
        f"{BRIDGE}/client.py",
        "from cores import http_client",
        "only the wiring names cores",
    ),
    "core imports the ports at run time": (
        f"{CORES}/cache.py",
        "from cores.ports import Clock",
        "ports are for type checkers",
    ),
    "wiring imports the ports at run time": (
        f"{GATEWAY}/_wiring.py",
        "from cores import ports",
        "ports are for type checkers",
    ),
    "requests": (
        f"{BRIDGE}/client.py",
        "import requests",
        "nothing heavy, and no AWS SDK, at run time",
    ),
    "boto3": (
        f"{GATEWAY}/_wiring.py",
        "def planted():\n    import boto3.session",
        "nothing heavy, and no AWS SDK, at run time",
    ),
}


def broken(tree: Tree) -> set[str]:
    """Return the names of the contracts that the copy breaks."""
    done = tree.python("-c", CONTRACTS)
    verdicts = re.findall(r"^(.*) BROKEN\b", done.stdout, re.MULTILINE)
    assert bool(verdicts) == bool(done.returncode), done.stdout + done.stderr
    return set(verdicts)


def test_the_tree_keeps_every_contract(tree: Tree) -> None:
    assert broken(tree) == set()


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_planted_import_breaks_its_contract(tree: Tree, kind: str) -> None:
    file, statement, contract = VIOLATIONS[kind]
    tree.add(file, f"\n{statement}\n")
    assert contract in broken(tree)


def test_a_core_may_name_a_port_for_its_types(tree: Tree) -> None:
    tree.add(
        f"{CORES}/cache.py",
        "\nif TYPE_CHECKING:\n    from cores.ports import Clock\n\n\ndef planted() -> Clock: ...\n",
    )
    assert broken(tree) == set()
    assert list(core_imports(tree.root)) == []


def test_cores_import_the_standard_library_only(root: Path) -> None:
    assert list(core_imports(root)) == []


@pytest.mark.parametrize(
    ("file", "statement", "refused"),
    [
        (f"{CORES}/cache.py", "import urllib3", "a core may not import urllib3"),
        (f"{CORES}/cache.py", "from click import echo", "a core may not import click.echo"),
        (f"{CORES}/cache.py", "import gateway", "a core may not import gateway"),
        (f"{CORES}/cache.py", "from .logging import Logger", "a core may not import cores.logging"),
        (f"{CORES}/cache.py", "from . import metrics", "a core may not import cores.metrics"),
        (f"{CORES}/cache.py", "from cores import config", "a core may not import cores.config"),
        (f"{CORES}/cache.py", "from cores.ports import Log", "a core may not import cores.ports"),
        (
            f"{CORES}/cache.py",
            "if TYPE_CHECKING:\n    from cores.logging import Logger",
            "a core may not import cores.logging",
        ),
        (
            "packages/fastpath_ext/src/fastpath_ext/__init__.py",
            "import cores.errors",
            "fastpath_ext may not import cores.errors",
        ),
    ],
)
def test_a_planted_import_of_a_core_is_refused(
    tree: Tree, file: str, statement: str, refused: str
) -> None:
    tree.add(file, f"\n{statement}\n")
    (fault,) = core_imports(tree.root)
    assert fault.startswith(f"{file}:")
    assert fault.endswith(f": {refused}")


def test_a_core_may_import_the_errors_and_its_own_extra(tree: Tree) -> None:
    tree.add(f"{CORES}/security.py", "from cores.errors import CallerError\nimport jwt\n")
    tree.add(f"{CORES}/http_client/planted.py", "import urllib3\nfrom . import planted\n")
    assert list(core_imports(tree.root)) == []
