"""Five traces of requests for objects, which are numbers."""

from __future__ import annotations

import bisect
import itertools
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUESTS = 100_000
OBJECTS = 20_000
SIZES = (OBJECTS // 100, OBJECTS // 20)


def zipf(skew: float, objects: int, seed: str) -> Iterator[int]:
    """Return popular objects more often, object 0 most often."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank**skew for rank in range(1, objects + 1)))
    while True:
        yield bisect.bisect_left(weights, rng.random() * weights[-1])


def scans(objects: int) -> Iterator[int]:
    """Return popular objects, and for 30 % of the requests objects that come once."""
    popular, rng, fresh = zipf(1.0, objects, "scans"), random.Random("when"), itertools.count()
    while True:
        yield from itertools.islice(popular, 700)
        yield from (objects + next(fresh) for _ in range(rng.randrange(600)))


def loop(objects: int) -> Iterator[int]:
    """Return popular objects, and for a third of the requests a loop over more than fit."""
    popular, around = zipf(1.0, objects, "loop"), itertools.cycle(range(objects // 10))
    while True:
        yield next(popular)
        yield next(popular)
        yield objects + next(around)


def drift(objects: int) -> Iterator[int]:
    """Return popular objects, all of which are others after 100 requests per object."""
    popular = zipf(1.0, objects, "drift")
    for number in itertools.count():
        yield next(popular) + number // 100


TRACES: dict[str, Callable[[int], Iterator[int]]] = {
    "zipf 1.0": lambda objects: zipf(1.0, objects, "steep"),
    "zipf 0.8": lambda objects: zipf(0.8, objects, "flat"),
    "zipf + scans": scans,
    "zipf + loop": loop,
    "drifting zipf": drift,
}
