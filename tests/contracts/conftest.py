from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import cores.store
import fastpath_ext

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session", params=["pure", "compiled"])
def store_class(request: pytest.FixtureRequest) -> type:
    """Return the cache engine under test."""
    if request.param == "pure":
        return cores.store.Store
    return compiled_store_class()


@pytest.fixture(scope="session", params=["lru", "s3fifo"])
def policy(request: pytest.FixtureRequest) -> str:
    """Return the eviction policy under test."""
    return request.param


@pytest.fixture(scope="session")
def both_store_classes() -> tuple[type, type]:
    """Return the pure and the compiled engine, to be compared."""
    return cores.store.Store, compiled_store_class()


def compiled_store_class() -> type:
    if fastpath_ext.COMPILED:
        return fastpath_ext.Store
    # Which of the following runs depends on the installation and the environment. The pure pass
    # does without on purpose, whatever is required.
    required = os.environ.get("THRIFTGATE_REQUIRE_EXTENSIONS", "0") not in {"", "0"}
    if required and fastpath_ext.reason != "THRIFTGATE_PURE is set":  # pragma: no cover
        pytest.fail(f"the compiled engine is required, but: {fastpath_ext.reason}")
    pytest.skip(f"no compiled engine: {fastpath_ext.reason}")  # pragma: no cover


@pytest.fixture(scope="session")
def assert_consistent() -> Callable[[Any, int], None]:
    """Return a check, from outside, that the parts of a store agree and that it still works."""

    def check(store: Any, most: int) -> None:
        items = store.items()
        assert len(items) == len(store) == store.stats()["entries"] <= most
        for key, value in items:
            assert store.get(key) is value
        for key, value in items:
            assert store.pop(key) is value
        assert len(store) == store.stats()["bytes"] == 0
        for number in range(2 * most):
            store.set(number, number, size=1)
            assert store.get(number) == number
            assert len(store) <= most
        store.clear()
        assert store.items() == []

    return check
