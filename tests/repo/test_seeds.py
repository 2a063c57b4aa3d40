"""The seeds of the fuzz tests, which dev.py sanitize chooses by environment variables."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THRIFTGATE_FUZZ_SEED", raising=False)
    monkeypatch.delenv("THRIFTGATE_FUZZ_SECONDS", raising=False)


def test_as_many_seeds_as_a_test_asks_for(seeds: Callable[[int], Iterator[int]]) -> None:
    given = list(seeds(3))
    assert given == [given[0], given[0] + 1, given[0] + 2]
    assert list(seeds(1)) != list(seeds(1))


def test_each_seed_is_printed_before_it_is_used(
    seeds: Callable[[int], Iterator[int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("THRIFTGATE_FUZZ_SEED", "7")
    for seed in seeds(2):
        assert capsys.readouterr().out == f"THRIFTGATE_FUZZ_SEED={seed}\n"


def test_no_time_repeats_the_seed_that_failed(
    seeds: Callable[[int], Iterator[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THRIFTGATE_FUZZ_SEED", "7")
    monkeypatch.setenv("THRIFTGATE_FUZZ_SECONDS", "0")
    assert list(seeds(3)) == [7]


def test_seeds_go_on_for_the_time_that_is_given(
    seeds: Callable[[int], Iterator[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THRIFTGATE_FUZZ_SEED", "7")
    monkeypatch.setenv("THRIFTGATE_FUZZ_SECONDS", "1e9")
    assert list(itertools.islice(seeds(1), 3)) == [7, 8, 9]
