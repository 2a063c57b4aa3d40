"""S3-FIFO pays: on no kind of trace does it fall far behind LRU."""

from __future__ import annotations

import bisect
import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUESTS = 20_000
OBJECTS = 5_000


def zipf(skew: float, seed: str) -> Iterator[int]:
    """Return popular objects more often, object 0 most often."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank**skew for rank in range(1, OBJECTS + 1)))
    while True:
        yield bisect.bisect_left(weights, rng.random() * weights[-1])


def scans() -> Iterator[int]:
    """Return popular objects, and now and then many that come once."""
    popular, rng, fresh = zipf(1.0, "scans"), random.Random("when"), itertools.count(OBJECTS)
    while True:
        run = 90 if rng.random() < 0.005 else 0
        yield from itertools.islice(fresh, run)
        yield next(popular)


def loop() -> Iterator[int]:
    """Return popular objects, mixed with a loop over more than fit."""
    around = itertools.cycle(range(OBJECTS, OBJECTS + 1_500))
    popular_objects = zipf(1.0, "loop")
    while True:
        popular = next(popular_objects)
        yield popular
        if popular % 4 == 0:
            yield next(around)


def drift() -> Iterator[int]:
    """Return popular objects, others being popular all the time."""
    popular, number = zipf(1.0, "drift"), itertools.count()
    while True:
        yield next(popular) + next(number) // 20


TRACES: dict[str, Callable[[], Iterator[int]]] = {
    "zipf 1.0": lambda: zipf(1.0, "steep"),
    "zipf 0.8": lambda: zipf(0.8, "flat"),
    "scans": scans,
    "loop": loop,
    "drift": drift,
}


@pytest.mark.parametrize("entries", [50, 250])
@pytest.mark.parametrize("trace", TRACES)
def test_s3fifo_is_at_most_one_point_below_lru(store_class: Any, trace: str, entries: int) -> None:
    ratio = {}
    for policy in ("lru", "s3fifo"):
        store = store_class(entries, policy=policy)
        for item in itertools.islice(TRACES[trace](), REQUESTS):
            if store.get(item) is None:
                store[item] = item + 1
        ratio[policy] = store.stats()["hits"] / REQUESTS
    assert ratio["s3fifo"] > ratio["lru"] - 0.01
