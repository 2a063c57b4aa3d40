"""The rules of tests/gateway refuse what they are there for, planted in a copy of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Tree

INIT = "packages/gateway/src/gateway/__init__.py"
WIRING = "packages/gateway/src/gateway/_wiring.py"

CYCLE = """
_plain_build = circuit_breaker._build


def _build_in_a_circle():
    breaker = _plain_build()
    breaker._planted = http_client
    return breaker


circuit_breaker._build = _build_in_a_circle
"""
TOUCH = """
_quiet_build = circuit_breaker._build


def _build_loudly():
    metrics.status()
    return _quiet_build()


circuit_breaker._build = _build_loudly
"""

LAZINESS = "test_laziness.py::test_import_loads_no_core_and_nothing_that_costs"
EXPORTS = "test_exports.py::test_all_is_sorted_and_lists_every_public_name"
SIGNATURES = "test_signatures.py"
NO_CYCLE = "test_wiring.py::test_the_wiring_has_no_cycle"
NO_TOUCH = "test_wiring.py::test_building_a_core_touches_no_neighbour"

# What is planted, where, and the test that is to refuse it.
FAULTS = {
    "eager import of a core": (INIT, "import cores.cache\n", LAZINESS),
    "eager build of a core": (INIT, "_wiring.cache.stats()\n", LAZINESS),
    "import that costs": (WIRING, "import typing\n", LAZINESS),
    "cycle in the wiring": (WIRING, CYCLE, NO_CYCLE),
    "builder that uses a neighbour": (WIRING, TOUCH, NO_TOUCH),
    "exported name without a function": (
        INIT,
        "__all__ = sorted([*__all__, 'cache_planted'])\n",
        EXPORTS,
    ),
    "function that is not exported": (INIT, "def planted() -> None:\n    'Plant.'\n", EXPORTS),
    "signature unlike the core's": (
        INIT,
        "def cache_get(key: str, fallback: object = None) -> object:\n    'Plant.'\n",
        SIGNATURES,
    ),
    "default unlike the core's": (
        INIT,
        "def cache_set(key: str, value: object, ttl: float = 1.0) -> None:\n    'Plant.'\n",
        SIGNATURES,
    ),
}


def run(tree: Tree, *tests: str) -> tuple[int, str]:
    selected = [f"{tree.root}/tests/gateway/{test}" for test in tests]
    done = tree.python("-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *selected)
    return done.returncode, done.stdout + done.stderr


def test_the_copy_passes_before_anything_is_planted(tree: Tree) -> None:
    status, output = run(tree, LAZINESS, EXPORTS, SIGNATURES, NO_CYCLE, NO_TOUCH)
    assert status == 0, output


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_refused(tree: Tree, kind: str) -> None:
    file, code, test = FAULTS[kind]
    tree.add(file, f"\n{code}")
    status, output = run(tree, test)
    assert status == 1, output
    assert f"FAILED tests/gateway/{test}" in output
