"""The two cache engines look alike and do alike."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

METHODS = sorted(
    "get set delete clear contains get_many set_many touch pop items resize stats".split()  # noqa: SIM905
)


def test_both_have_the_same_public_names(both_store_classes: tuple[Any, Any]) -> None:
    pure, compiled = (
        sorted(name for name in dir(cls) if not name.startswith("_")) for cls in both_store_classes
    )
    assert pure == compiled == METHODS


@pytest.mark.parametrize("name", [None, *METHODS])
def test_signatures_and_docstrings_agree(
    both_store_classes: tuple[Any, Any], name: str | None
) -> None:
    pure, compiled = (cls if name is None else getattr(cls, name) for cls in both_store_classes)
    assert signature(pure) == signature(compiled)
    assert inspect.getdoc(pure) == inspect.getdoc(compiled)
    assert inspect.getdoc(pure)


def signature(function: Any) -> str:
    found = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
    ]
    text = str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    # A method written in C takes its self by position only.
    return text.replace("(self, /)", "(self)").replace("(self, /, ", "(self, ")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.integers(0, 40)),
        st.tuples(st.just("get"), st.integers(0, 12)),
        st.tuples(st.just("set"), st.integers(0, 40)),
        st.tuples(st.just("set_sized"), st.integers(0, 40), st.integers(0, 30)),
        st.tuples(st.just("set_mortal"), st.integers(0, 40), st.integers(1, 9)),
        st.tuples(st.just("touch"), st.integers(0, 40)),
        st.tuples(st.just("delete"), st.integers(0, 40)),
        st.tuples(st.just("pass_time"), st.integers(-5, 5)),
        st.tuples(st.just("resize"), st.integers(1, 30)),
        st.tuples(st.just("clear")),
    ),
    max_size=300,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, bounds=st.sampled_from([(20, None), (3, None), (20, 100), (1, 30)]))
def test_both_evict_the_same_entries(
    both_store_classes: tuple[Any, Any],
    policy: str,
    steps: list[tuple[Any, ...]],
    bounds: tuple[int, int | None],
) -> None:
    pure, compiled = (Run(cls, policy, *bounds) for cls in both_store_classes)
    for name, *arguments in steps:
        assert getattr(pure, name)(*arguments) == getattr(compiled, name)(*arguments)
        assert pure.gone == compiled.gone
        assert pure.store.items() == compiled.store.items()
        assert pure.store.stats() == compiled.store.stats()


class Run:
    def __init__(self, cls: Any, policy: str, entries: int, size: int | None) -> None:
        self.now = 0.0
        self.gone: list[object] = []
        self.store = cls(
            entries,
            max_bytes=size,
            policy=policy,
            sizeof=size and (lambda value: value % 7),
            clock=lambda: self.now,
            on_evict=lambda key, value: self.gone.append((key, value)),
        )
        self.get = self.store.get
        self.touch = self.store.touch
        self.delete = self.store.delete
        self.resize = self.store.resize
        self.clear = self.store.clear

    def set(self, key: int) -> None:
        self.store[key] = key

    def set_sized(self, key: int, size: int) -> None:
        self.store.set(key, size, size=size)

    def set_mortal(self, key: int, ttl: int) -> None:
        self.store.set(key, ttl, ttl)

    def pass_time(self, seconds: int) -> None:
        self.now += seconds
