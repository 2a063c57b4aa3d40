"""What every cache engine does."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import re
import sys
import time
import weakref
from decimal import Decimal
from typing import Any

import pytest

NUMBER = "must be a number of seconds above 0, math.inf or None, not "


class Clock:
    """Wall time under the test's control."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


class Probe:
    """Something a weak reference can watch."""


def copy_of(text: str) -> str:
    """Return an equal object that is another one (where strings are not shared anyway)."""
    return text.encode().decode()


def keys(store: Any) -> list[object]:
    return [key for key, _ in store.items()]


# ---- hits and misses


def test_hit_returns_the_object_that_was_stored(store_class: Any, policy: str) -> None:
    store = store_class(policy=policy)
    value = object()
    store.set("key", value)
    assert store.get("key") is value
    assert store["key"] is value
    assert store.get_many(["key"])["key"] is value


def test_hit_by_an_equal_key(store_class: Any) -> None:
    store = store_class()
    store["ké"] = 1
    store[(1, "a")] = 2
    store[7] = 3
    store["\U0001f600"] = 4
    assert store.get(copy_of("ké")) == 1
    assert store.get((1, copy_of("a"))) == 2
    assert store.get(7.0) == 3
    assert store.get(copy_of("\U0001f600")) == 4
    assert store.get("\xe9") is None


def test_keys_with_equal_hashes_are_told_apart(store_class: Any) -> None:
    store = store_class()
    for number in range(5):
        store[number * (2**61 - 1)] = number
    assert [store[number * (2**61 - 1)] for number in range(5)] == [0, 1, 2, 3, 4]


def test_keys_with_equal_hashes_replace_each_other(store_class: Any, policy: str) -> None:
    store = store_class(3, policy=policy)
    for number in range(20):
        store[number * (2**61 - 1)] = number
        assert store[number * (2**61 - 1)] == number
        store[f"other {number % 2}"] = number
        assert store[f"other {number % 2}"] == number
        assert all(store.get(key) == value for key, value in store.items())
        assert len(store) == min(3, number + 2)


def test_str_subclass_is_compared_by_its_own_rules(store_class: Any) -> None:
    class Loud(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return isinstance(other, str) and self.upper() == other.upper()

        def __hash__(self) -> int:
            return hash(self.upper())

    store = store_class()
    store["KEY"] = 1
    assert store.get(Loud("key")) == 1
    store[Loud("other")] = 2
    assert store.get("OTHER") == 2
    assert store.get("other") is None


def test_miss_returns_default(store_class: Any) -> None:
    store = store_class()
    assert store.get("key") is None
    assert store.get("key", 5) == 5
    assert store.get(key="key", default=5) == 5
    assert store.pop("key") is None
    assert store.pop("key", 5) == 5


def test_stored_none_is_a_hit(store_class: Any) -> None:
    store = store_class()
    store.set("key", None)
    assert store.get("key", 5) is None
    assert store.contains("key")
    assert store.get_many(["key"]) == {"key": None}


def test_item_access_raises_key_error_on_a_miss(store_class: Any) -> None:
    store = store_class()
    with pytest.raises(KeyError, match=r"^'key'$"):
        store["key"]
    with pytest.raises(KeyError, match=r"^'key'$"):
        del store["key"]
    store["key"] = 1
    del store["key"]
    assert "key" not in store


@pytest.mark.parametrize("ttl", [None, 60])
def test_a_lookup_hashes_its_key_once(store_class: Any, ttl: float | None) -> None:
    hashed: list[object] = []

    class Key:
        def __hash__(self) -> int:
            hashed.append(self)
            return 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key)

    store = store_class()
    store.set(Key(), 1, ttl)
    del hashed[:]
    assert store.get(Key()) == 1
    assert len(hashed) == 1


def test_unhashable_key_is_a_type_error(store_class: Any, policy: str) -> None:
    store = store_class(policy=policy)
    calls = [
        lambda: store.get([]),
        lambda: store.set([], 1),
        lambda: store.delete([]),
        lambda: store.contains([]),
        lambda: store.pop([]),
        lambda: store.touch([]),
        lambda: store.get_many([[]]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            call()
    assert store.stats()["entries"] == 0


def test_overwrite_replaces_value_and_lifetime(store_class: Any, policy: str) -> None:
    clock = Clock()
    store = store_class(policy=policy, clock=clock)
    store.set("key", 1, ttl=10)
    store.set("key", 2)
    clock.now += 11
    assert store.get("key") == 2
    assert len(store) == 1


def test_delete_says_whether_there_was_an_entry(store_class: Any, policy: str) -> None:
    store = store_class(policy=policy)
    store["key"] = 1
    assert store.delete("key") is True
    assert store.delete("key") is False
    assert len(store) == 0


def test_pop_removes_and_returns(store_class: Any) -> None:
    store = store_class()
    store["key"] = 1
    assert store.pop("key") == 1
    assert "key" not in store


def test_contains_does_not_count_as_a_use(store_class: Any) -> None:
    store = store_class(2)
    store["a"] = store["b"] = 1
    assert store.contains("a")
    assert "a" in store
    store["c"] = 1
    assert keys(store) == ["b", "c"]
    assert store.stats()["hits"] == 0


def test_get_many_returns_hits_in_the_order_asked(store_class: Any) -> None:
    store = store_class()
    store.set_many({"a": 1, "b": 2})
    assert list(store.get_many(iter(["b", "x", "a"])).items()) == [("b", 2), ("a", 1)]
    stats = store.stats()
    assert (stats["hits"], stats["misses"]) == (2, 1)


def test_set_many_gives_all_the_same_lifetime(store_class: Any) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    store.set_many({"a": 1, "b": 2}, ttl=5)
    assert clock.reads == 1
    clock.now += 5
    assert store.items() == []


def test_set_many_takes_a_mapping(store_class: Any) -> None:
    with pytest.raises(AttributeError, match=r"^'list' object has no attribute 'keys'$"):
        store_class().set_many([("a", 1)])


def test_what_many_are_given_may_change_meanwhile(store_class: Any) -> None:
    items = {"a": 1, "b": 2}
    store = store_class(1, on_evict=lambda key, _: items.update({key * 2: 3}))
    store.set_many(items)
    assert items == {"a": 1, "b": 2, "aa": 3}
    assert store.items() == [("b", 2)]
    assert store.get_many(key for key in items if store.delete("b")) == {}


def test_items_is_a_snapshot(store_class: Any, policy: str) -> None:
    store = store_class(policy=policy)
    store.set_many({"a": 1, "b": 2})
    for key, value in store.items():
        store[key * 2] = value
    assert sorted(store.items()) == [("a", 1), ("aa", 1), ("b", 2), ("bb", 2)]
    assert sorted(store) == ["a", "aa", "b", "bb"]


def test_clear_removes_everything_and_keeps_the_statistics(store_class: Any, policy: str) -> None:
    store = store_class(2, max_bytes=100, sizeof=len, policy=policy)
    for key in "abcde":
        store[key] = "four"
        store.get(key)
    store.clear()
    assert store.items() == []
    assert store.stats() == {
        "entries": 0,
        "bytes": 0,
        "hits": 5,
        "misses": 0,
        "expirations": 0,
        "evictions": 3,
    }
    store["a"] = "four"
    assert store["a"] == "four"


def test_statistics_count_each_outcome(store_class: Any, policy: str) -> None:
    clock = Clock()
    store = store_class(3, policy=policy, clock=clock)
    store.get("a")
    store.set("a", 1, ttl=1)
    store.get("a")
    clock.now += 1
    store.get("a")
    store.set("b", 1)
    store.pop("b")
    store.pop("b")
    store.set_many({"c": 1, "d": 1, "e": 1, "f": 1})
    assert store.stats() == {
        "entries": 3,
        "bytes": 0,
        "hits": 2,
        "misses": 3,
        "expirations": 1,
        "evictions": 1,
    }


# ---- time


def test_entry_lives_until_its_ttl_is_over(store_class: Any, policy: str) -> None:
    clock = Clock()
    store = store_class(clock=clock, policy=policy)
    store.set("key", 1, ttl=10)
    clock.now += 9.5
    assert store.get("key") == 1
    assert store.contains("key")
    assert store.items() == [("key", 1)]
    clock.now += 0.5
    assert not store.contains("key")
    assert store.items() == []
    assert list(store) == []
    assert len(store) == 1
    assert store.get("key", "gone") == "gone"
    assert len(store) == 0
    assert store.stats()["expirations"] == 1


@pytest.mark.parametrize("ttl", [2, 2.0, True + 1.0])
def test_default_ttl_is_for_entries_without_one(store_class: Any, ttl: float) -> None:
    clock = Clock()
    store = store_class(default_ttl=ttl, clock=clock)
    store["item"] = 1
    store.set("set", 1)
    store.set("none", 1, None)
    store.set("own", 1, 5)
    store.set("ever", 1, math.inf)
    clock.now += 2
    assert keys(store) == ["own", "ever"]
    clock.now += 1e12
    assert keys(store) == ["ever"]


def test_default_ttl_may_be_infinite(store_class: Any) -> None:
    clock = Clock()
    store = store_class(default_ttl=math.inf, clock=clock)
    store["key"] = 1
    assert store["key"] == 1
    assert clock.reads == 0


def test_enormous_ttl_is_accepted(store_class: Any) -> None:
    store = store_class(clock=Clock())
    for ttl in (1e308, sys.float_info.max, 10**400, 2**70):
        store.set(ttl, 1, ttl)
        assert store[ttl] == 1


def test_entries_without_ttl_never_read_the_clock(store_class: Any, policy: str) -> None:
    clock = Clock()
    store = store_class(2, clock=clock, policy=policy)
    store.set_many({"a": 1, "b": 1, "c": 1})
    store.set("d", 1, math.inf)
    store.touch("d")
    store.items()
    store.get_many("abcd")
    store.pop("d")
    store.delete("c")
    store.resize(1)
    assert clock.reads == 0


@pytest.mark.parametrize("ttl", [0, -1, 0.0, -0.5, math.nan, -math.inf, -(10**400)])
def test_ttl_out_of_range_is_a_value_error(store_class: Any, ttl: float) -> None:
    store = store_class()
    message = re.escape(NUMBER + repr(ttl))
    with pytest.raises(ValueError, match=f"^ttl {message}$"):
        store.set("key", 1, ttl)
    with pytest.raises(ValueError, match=f"^ttl {message}$"):
        store.set_many({}, ttl)
    with pytest.raises(ValueError, match=f"^ttl {message}$"):
        store.touch("key", ttl)
    with pytest.raises(ValueError, match=f"^default_ttl {message}$"):
        store_class(default_ttl=ttl)
    assert len(store) == 0


@pytest.mark.parametrize("ttl", [True, False, "5", b"5", [], Decimal(5), 1j])
def test_ttl_of_another_type_is_a_type_error(store_class: Any, ttl: Any) -> None:
    store = store_class()
    message = re.escape(NUMBER + repr(ttl))
    with pytest.raises(TypeError, match=f"^ttl {message}$"):
        store.set("key", 1, ttl=ttl)
    with pytest.raises(TypeError, match=f"^default_ttl {message}$"):
        store_class(default_ttl=ttl)


def test_touch_starts_a_new_lifetime_and_counts_as_a_use(store_class: Any) -> None:
    clock = Clock()
    store = store_class(2, default_ttl=10, clock=clock)
    store["a"] = store["b"] = 1
    clock.now += 9
    assert store.touch("a") is True
    assert store.touch("x") is False
    clock.now += 9
    assert keys(store) == ["a"]
    assert store.touch("b") is False
    assert store.stats()["expirations"] == 1
    assert store.touch("a", ttl=100) is True
    clock.now += 99
    assert store["a"] == 1


def test_touch_decides_what_is_evicted(store_class: Any) -> None:
    store = store_class(2)
    store["a"] = store["b"] = 1
    store.touch("a")
    store["c"] = 1
    assert keys(store) == ["a", "c"]


def test_delete_and_pop_do_not_see_what_has_expired(store_class: Any) -> None:
    clock = Clock()
    store = store_class(default_ttl=1, clock=clock)
    store.set_many({"a": 1, "b": 1, "c": 1})
    clock.now += 1
    assert store.delete("a") is False
    assert store.pop("b", "gone") == "gone"
    with pytest.raises(KeyError, match=r"^'c'$"):
        del store["c"]
    assert len(store) == 0
    assert store.stats()["expirations"] == 3


def test_clock_set_back_does_not_revive_the_dead(store_class: Any) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    store.set("key", 1, ttl=10)
    clock.now += 20
    assert not store.contains("key")
    clock.now -= 15
    assert not store.contains("key")
    assert store.get("key") is None


def test_clock_set_back_does_not_lengthen_lives(store_class: Any) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    store.set("old", 1, ttl=10)
    clock.now -= 100_000
    assert store["old"] == 1
    store.set("new", 1, ttl=10)
    clock.now += 9
    assert store["old"] == store["new"] == 1
    clock.now += 1
    assert keys(store) == []


def test_clock_that_was_ahead_does_not_stop_time_when_corrected(store_class: Any) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    clock.now += 1e9
    store.set("a", 1, ttl=10)
    clock.now -= 1e9
    store.set("b", 1, ttl=10)
    clock.now += 10
    store.set("c", 1, ttl=10)
    assert keys(store) == ["c"]


def test_clock_slightly_behind_stands_still(store_class: Any) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    store.set("key", 1, ttl=10)
    for _ in range(1000):
        clock.now -= 0.5
        assert store["key"] == 1
        clock.now += 0.5
        assert store["key"] == 1
    clock.now += 9.5
    assert store["key"] == 1
    clock.now += 0.5
    assert "key" not in store


def test_forward_jump_of_the_clock_counts(store_class: Any) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    store.set("key", 1, ttl=3600)
    clock.now += 3600
    assert "key" not in store


def test_clock_without_epoch_works(store_class: Any) -> None:
    clock = Clock(-50.0)
    store = store_class(clock=clock)
    store.set("key", 1, ttl=1)
    assert store["key"] == 1
    clock.now += 1
    assert "key" not in store


@pytest.mark.parametrize("reading", [math.nan, math.inf, -math.inf])
def test_clock_must_return_a_finite_number(store_class: Any, reading: float) -> None:
    clock = Clock()
    store = store_class(clock=clock)
    store.set("key", 1, ttl=5)
    clock.now = reading
    for call in (lambda: store.get("key"), lambda: store.set("x", 1, 5), store.items):
        with pytest.raises(
            ValueError, match=rf"^clock must return a finite number of seconds, not {reading}$"
        ):
            call()
    clock.now = 1_000_001.0
    assert store.items() == [("key", 1)]


def test_error_of_the_clock_reaches_the_caller(store_class: Any) -> None:
    readings = iter([1.0])
    store = store_class(clock=lambda: next(readings))
    store.set("key", 1, ttl=5)
    calls = [
        lambda: store.get("key"),
        lambda: store["key"],
        lambda: store.contains("key"),
        lambda: "key" in store,
        lambda: store.delete("key"),
        lambda: store.pop("key"),
        store.items,
        lambda: store.touch("key"),
        lambda: store.set("x", 1, 1),
        lambda: store.set_many({"x": 1}, 1),
        lambda: store.get_many(["key"]),
    ]
    for call in calls[:7] + calls[8:]:
        with pytest.raises(StopIteration):
            call()
    with pytest.raises(TypeError):
        store_class(clock=lambda: "noon").set("key", 1, 1)


@pytest.mark.parametrize("clock", [None, time.time])
def test_system_clock_is_wall_time(store_class: Any, clock: Any) -> None:
    store = store_class(clock=clock)
    store.set("key", 1, ttl=3600)
    store.set("gone", 1, ttl=5e-324)
    assert store.items() == [("key", 1)]
    assert store.get("key") == 1
    assert store.get("gone") is None


# ---- bounds


def test_least_recently_used_entry_is_evicted(store_class: Any) -> None:
    store = store_class(3)
    store.set_many({"a": 1, "b": 2, "c": 3})
    store.get("a")
    store["b"] = 4
    store["d"] = 5
    assert store.items() == [("a", 1), ("b", 4), ("d", 5)]
    store["e"] = 6
    assert store.items() == [("b", 4), ("d", 5), ("e", 6)]


def test_s3fifo_keeps_popular_entries_through_a_scan(store_class: Any) -> None:
    store = store_class(100, policy="s3fifo")
    for key in range(50):
        store[key] = key
        store.get(key)
        store.get(key)
    for key in range(1000, 2000):
        store[key] = key
    assert all(key in store for key in range(50))
    assert len(store) == 100


def test_s3fifo_readmits_what_it_evicted_too_early(store_class: Any) -> None:
    store = store_class(20, policy="s3fifo")
    for key in range(21):
        store[key] = key
    assert 0 not in store
    store[0] = 0
    for key in range(100, 119):
        store[key] = key
    assert 0 in store


def test_s3fifo_ages_what_was_popular(store_class: Any) -> None:
    store = store_class(10, policy="s3fifo")
    for key in range(10):
        store[key] = key
        for _ in range(5):
            store.get(key)
    for key in range(100, 140):
        store[key] = key
        store.get(key)
        store.get(key)
    assert not any(key in store for key in range(10))


@pytest.mark.parametrize("entries", [1, 2, 3, 9, 64, 1000])
def test_entry_bound_holds(store_class: Any, policy: str, entries: int) -> None:
    store = store_class(entries, policy=policy)
    for key in range(3 * entries):
        store[key] = key
        store.get(key // 2)
        assert len(store) <= entries
    assert len(store) == len(store.items()) == entries
    assert store.stats()["evictions"] == 2 * entries


def test_byte_bound_holds(store_class: Any, policy: str) -> None:
    store = store_class(max_bytes=100, sizeof=len, policy=policy)
    for number in range(200):
        store[number % 37] = "x" * (number * 7 % 60)
        stats = store.stats()
        assert stats["bytes"] == sum(len(value) for _, value in store.items()) <= 100
        assert number % 37 in store


def test_size_is_given_per_entry(store_class: Any) -> None:
    store = store_class(max_bytes=100)
    store.set("a", "anything", size=60)
    store.set("b", "anything", size=40)
    assert store.stats()["bytes"] == 100
    store.set("c", "anything", size=1)
    assert keys(store) == ["b", "c"]
    assert store.stats()["bytes"] == 41
    store.set("c", "anything", size=0)
    assert store.stats()["bytes"] == 40
    store.delete("b")
    assert store.stats()["bytes"] == 0


def test_growing_entry_evicts_others_but_not_itself(store_class: Any, policy: str) -> None:
    store = store_class(max_bytes=100, policy=policy)
    for key in "abcd":
        store.set(key, key, size=25)
    store.set("a", "grown", size=60)
    assert store.get("a") == "grown"
    assert store.stats()["bytes"] <= 100
    store.set("a", "alone", size=100)
    assert store.items() == [("a", "alone")]
    assert store.stats()["bytes"] == 100


def test_byte_bound_holds_at_its_largest(store_class: Any, policy: str) -> None:
    most = 2**62
    store = store_class(max_bytes=most, policy=policy)
    for key in "ab":
        store.set(key, 1, size=most)
        assert store.stats()["bytes"] == most
    assert store.items() == [("b", 1)]
    store.set("c", 1, size=0)
    store.set("c", 2, size=most)
    assert store.items() == [("c", 2)]
    assert store.stats()["bytes"] == most


def test_entry_above_the_byte_bound_is_evicted_at_once(store_class: Any, policy: str) -> None:
    gone: list[object] = []
    store = store_class(
        max_bytes=100, policy=policy, on_evict=lambda key, value: gone.append((key, value))
    )
    store.set("other", 1, size=99)
    store.set("key", "small", size=1)
    store.set("key", "large", size=101)
    store.set("huge", "enormous", size=2**80)
    assert gone == [("key", "large"), ("huge", "enormous")]
    assert store.items() == [("other", 1)]
    assert store.stats()["evictions"] == 2
    assert store.stats()["bytes"] == 99


def test_sizes_up_to_the_largest_bound_are_counted(store_class: Any) -> None:
    store = store_class(max_bytes=2**62)
    store.set("a", 1, size=2**62)
    store.set("b", 1, size=2**62 - 1)
    assert store.stats()["bytes"] == 2**62 - 1
    store.set("c", 1, size=1)
    assert keys(store) == ["b", "c"]
    assert store.stats()["bytes"] == 2**62
    store.set("c", 1, size=5_000_000_000)
    assert store.stats()["bytes"] == 5_000_000_000


def test_estimate_is_deep_for_json_and_shallow_otherwise(store_class: Any) -> None:
    size = sys.getsizeof

    def estimate(value: object) -> int:
        store = store_class(max_bytes=2**40)
        store["key"] = value
        return store.stats()["bytes"] - size("key")

    text, number, data = "x" * 500, 10**30, b"y" * 300
    assert estimate(text) == size(text)
    assert estimate(data) == size(data)
    assert estimate([text, number]) == size([0, 0]) + size(text) + size(number)
    assert estimate((text, (data,))) == 2 * size((0,)) + size((0, 0)) - size((0,)) + size(
        text
    ) + size(data)
    assert estimate({"k": [text]}) == size({"k": 0}) + size("k") + size([0]) + size(text)
    assert estimate([text] * 3) == size([0] * 3) + size(text)
    circle: list[object] = []
    circle.append(circle)
    assert estimate(circle) == size(circle)
    probe = Probe()
    probe.__dict__["much"] = text
    assert estimate(probe) == size(probe)
    assert estimate("key") == 0


def test_nothing_is_measured_without_a_byte_bound(store_class: Any) -> None:
    class Unmeasurable:
        def __sizeof__(self) -> int:
            raise AssertionError

    store = store_class()
    store["key"] = Unmeasurable()
    store.set("sized", 1, size=100)
    assert store.stats()["bytes"] == 0
    measuring = store_class(max_bytes=1000)
    with pytest.raises(AssertionError):
        measuring["key"] = store["key"]
    assert len(measuring) == 0


@pytest.mark.parametrize("size", [True, 1.0, "1", Decimal(1)])
def test_size_of_another_type_is_a_type_error(store_class: Any, size: Any) -> None:
    message = re.escape(f"must be an int of at least 0, not {size!r}")
    with pytest.raises(TypeError, match=f"^size {message}$"):
        store_class().set("key", 1, size=size)
    store = store_class(max_bytes=10, sizeof=lambda _: size)
    with pytest.raises(TypeError, match=rf"^sizeof\(value\) {message}$"):
        store["key"] = 1


@pytest.mark.parametrize("size", [-1, -(2**80)])
def test_negative_size_is_a_value_error(store_class: Any, size: int) -> None:
    message = re.escape(f"must be an int of at least 0, not {size!r}")
    with pytest.raises(ValueError, match=f"^size {message}$"):
        store_class().set("key", 1, size=size)
    store = store_class(max_bytes=10, sizeof=lambda _: size)
    with pytest.raises(ValueError, match=rf"^sizeof\(value\) {message}$"):
        store["key"] = 1


@pytest.mark.parametrize("count", [True, 1.0, "1", None])
def test_bound_of_another_type_is_a_type_error(store_class: Any, count: Any) -> None:
    with pytest.raises(
        TypeError,
        match=f"^max_entries must be an int from 1 to 1073741824, not {re.escape(repr(count))}$",
    ):
        store_class(count)


@pytest.mark.parametrize("count", [0, -1, 2**30 + 1, 2**80, -(2**80)])
def test_bound_out_of_range_is_a_value_error(store_class: Any, count: int) -> None:
    with pytest.raises(
        ValueError, match=f"^max_entries must be an int from 1 to 1073741824, not {count}$"
    ):
        store_class(count)
    store = store_class()
    with pytest.raises(
        ValueError, match=f"^max_entries must be an int from 1 to 1073741824, not {count}$"
    ):
        store.resize(count)


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (2**62 + 1, ValueError), (False, TypeError)]
)
def test_byte_bound_is_checked(store_class: Any, size: int, error: type[Exception]) -> None:
    message = f"^max_bytes must be an int from 1 to 4611686018427387904, not {size}$"
    with pytest.raises(error, match=message):
        store_class(max_bytes=size)
    with pytest.raises(error, match=message):
        store_class(max_bytes=1).resize(max_bytes=size)


def test_other_options_are_checked(store_class: Any) -> None:
    with pytest.raises(ValueError, match=r"^policy must be 'lru' or 's3fifo', not 'fifo'$"):
        store_class(policy="fifo")
    with pytest.raises(
        ValueError, match=r"^sizeof needs max_bytes: without a bound nothing is measured$"
    ):
        store_class(sizeof=len)
    for name in ("clock", "sizeof", "on_evict"):
        with pytest.raises(TypeError, match=rf"^{name} must be callable or None, not 5$"):
            store_class(max_bytes=1, **{name: 5})
    with pytest.raises(
        TypeError, match=r"^Store.__init__\(\) got an unexpected keyword argument 'maxsize'"
    ):
        store_class(maxsize=5)


def test_resize_evicts_what_no_longer_fits(store_class: Any) -> None:
    gone: list[object] = []
    store = store_class(10, max_bytes=100, sizeof=len, on_evict=lambda key, _: gone.append(key))
    store.set_many(dict.fromkeys("abcdefgh", "1234"))
    store.resize(5)
    assert gone == ["a", "b", "c"]
    store.resize(max_bytes=9)
    assert keys(store) == ["g", "h"]
    store.resize()
    store.resize(20, max_bytes=1000)
    store.set_many(dict.fromkeys("abcdefghijklmnopqrstuvwxyz", "1234"))
    assert len(store) == 20


def test_resize_grows_a_full_store(store_class: Any, policy: str) -> None:
    store = store_class(4, policy=policy)
    store.set_many(dict.fromkeys(range(10), 1))
    store.resize(50)
    store.set_many(dict.fromkeys(range(100, 146), 1))
    assert len(store) == 50


def test_byte_bound_cannot_be_added_later(store_class: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^max_bytes cannot be added: make a new Store with max_bytes$"
    ):
        store_class().resize(max_bytes=100)


def test_on_evict_is_called_only_for_what_makes_room(store_class: Any, policy: str) -> None:
    clock = Clock()
    gone: list[object] = []
    store = store_class(
        2, policy=policy, clock=clock, on_evict=lambda key, value: gone.append((key, value))
    )
    store["a"] = 1
    store["a"] = 2
    store.delete("a")
    store["b"] = 1
    store.pop("b")
    store.set("c", 1, ttl=1)
    clock.now += 1
    store.get("c")
    store["d"] = 1
    store.clear()
    assert gone == []
    store.set_many({"e": 1, "f": 2, "g": 3})
    assert gone == [("e", 1)]


def test_on_evict_sees_the_store_after_the_change(store_class: Any, policy: str) -> None:
    seen: list[object] = []
    store = store_class(
        2,
        max_bytes=10,
        sizeof=len,
        policy=policy,
        on_evict=lambda key, _: seen.append((key, key in store, "new" in store)),
    )
    store["a"] = store["b"] = "12345"
    store["new"] = "1234567890"
    assert sorted(seen) == [("a", False, True), ("b", False, True)]


def test_error_of_on_evict_reaches_the_caller(store_class: Any, policy: str) -> None:
    def refuse(key: object, value: object) -> None:
        msg = f"no room for {key} {value}"
        raise OSError(msg)

    store = store_class(1, policy=policy, on_evict=refuse)
    store["a"] = 1
    with pytest.raises(OSError, match=r"^no room for a 1$"):
        store["b"] = 2
    assert store.items() == [("b", 2)]
    with pytest.raises(OSError, match=r"^no room for b 2$"):
        store.set_many({"c": 3, "d": 4})
    assert store.items() == [("c", 3)]
    store.resize(2)
    store["d"] = 4
    with pytest.raises(OSError, match=r"^no room for c 3$"):
        store.resize(1)
    assert store.items() == [("d", 4)]


# ---- the object


def test_store_can_be_neither_copied_nor_pickled(store_class: Any) -> None:
    store = store_class()
    message = r"^a Store can be neither copied nor pickled; take what items\(\) returns$"
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=message):
            refused(store)


def test_store_is_true_only_when_it_has_entries(store_class: Any) -> None:
    store = store_class()
    assert not store
    store["key"] = 1
    assert store


def test_collector_finds_cycles_through_keys_and_values(store_class: Any, policy: str) -> None:
    store = store_class(policy=policy)
    probe = Probe()
    watch = weakref.ref(probe)
    store["self"] = [store, probe]
    store[(store.get, 1)] = 1
    del store, probe
    gc.collect()
    assert watch() is None


def test_long_chain_of_stores_is_freed_without_deep_recursion(store_class: Any) -> None:
    store = store_class()
    for _ in range(50_000):
        outer = store_class()
        outer["inner"] = store
        store = outer
    del store, outer


def test_references_are_let_go(store_class: Any, policy: str) -> None:
    store = store_class(2, policy=policy)

    def watched(key: str, store: Any = store) -> weakref.ref[Probe]:
        probe = Probe()
        store[key] = probe
        return weakref.ref(probe)

    overwritten = watched("a")
    deleted = watched("a")
    assert overwritten() is None
    store.delete("a")
    assert deleted() is None
    popped = watched("a")
    store.pop("a")
    assert popped() is None
    evicted = [watched(key) for key in "abcd"]
    assert [watch() is None for watch in evicted].count(True) == 2
    store.clear()
    assert [watch() is None for watch in evicted].count(True) == 4
    dropped = watched("a")
    del store, watched
    assert dropped() is None


def test_subclass_works(store_class: Any) -> None:
    class Named(store_class):
        def __init__(self, name: str) -> None:
            super().__init__(2)
            self.name = name

    store = Named("prices")
    store.set_many({"a": 1, "b": 2, "c": 3})
    assert (store.name, keys(store)) == ("prices", ["b", "c"])
    assert weakref.ref(store)() is store


def test_second_initialisation_starts_anew(store_class: Any) -> None:
    store = store_class(2, max_bytes=100, sizeof=len)
    store["a"] = "four"
    store.get("a")
    store.__init__(3)
    assert store.items() == []
    assert set(store.stats().values()) == {0}
    store.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
    assert keys(store) == ["b", "c", "d"]
    with pytest.raises(ValueError, match=r"^policy must be 'lru' or 's3fifo', not ''$"):
        store.__init__(3, policy="")
    assert keys(store) == ["b", "c", "d"]
