from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores.metrics import MAX_LOCAL, MAX_PENDING, MAX_VALUES, UNITS, Metrics
from gateway.testing import FakeClock


class Output:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.broken = False

    def __call__(self, data: bytes) -> None:
        if self.broken:
            raise OSError
        self.writes.append(bytes(data))

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for data in self.writes for line in data.splitlines()]


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def current(clock: FakeClock) -> SimpleNamespace:
    return SimpleNamespace(invocation=SimpleNamespace(deadline=clock() + 3))


@pytest.fixture
def metrics(output: Output, clock: FakeClock, current: SimpleNamespace) -> Metrics:
    return Metrics(write=output, clock=clock, current=current, namespace="Test")


def test_one_value_is_one_emf_line(metrics: Metrics, output: Output) -> None:
    metrics.record("answers", 1, "Count")
    assert output.writes == []
    metrics.flush()
    metrics.flush()
    assert output.lines == [
        {
            "_aws": {
                "Timestamp": 1767225600000,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "Test",
                        "Dimensions": [[]],
                        "Metrics": [{"Name": "answers", "Unit": "Count"}],
                    }
                ],
            },
            "answers": 1,
        }
    ]


def test_values_of_one_metric_are_an_array(metrics: Metrics, output: Output) -> None:
    for value in (1, 2.5, 3):
        metrics.record("size", value, "Bytes")
    metrics.record("other", 7)
    metrics.flush()
    (line,) = output.lines
    assert line["size"] == [1, 2.5, 3]
    assert line["other"] == 7
    assert line["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "size", "Unit": "Bytes"},
        {"Name": "other", "Unit": "None"},
    ]


def test_each_set_of_dimensions_is_a_line(metrics: Metrics, output: Output) -> None:
    metrics.record("m", 1, dimensions={"home": "a"})
    metrics.record("m", 2, dimensions={"home": "b"})
    metrics.record("n", 3, dimensions={"home": "a"})
    metrics.record("m", 4)
    metrics.flush()
    assert len(output.writes) == 1
    a, b, plain = output.lines
    assert (a["home"], a["m"], a["n"]) == ("a", 1, 3)
    assert a["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["home"]]
    assert (b["home"], b["m"]) == ("b", 2)
    assert plain["m"] == 4


def test_more_than_a_hundred_values_take_several_lines(metrics: Metrics, output: Output) -> None:
    for value in range(MAX_VALUES + 1):
        metrics.record("m", value)
    metrics.flush()
    first, second = output.lines
    assert first["m"] == list(range(MAX_VALUES))
    assert second["m"] == MAX_VALUES


def test_outside_an_invocation_values_are_written_at_once(
    metrics: Metrics, output: Output, current: SimpleNamespace
) -> None:
    current.invocation = None
    metrics.record("m", 1)
    assert len(output.writes) == 1


def test_a_runaway_loop_is_written_early(metrics: Metrics, output: Output) -> None:
    for _ in range(MAX_PENDING):
        metrics.increment("m")
    assert len(output.writes) == 1
    assert metrics.status()["pending"] == 0


def test_recording_starts_the_watch(
    output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    started = []
    watch = SimpleNamespace(start=lambda: started.append(1))
    Metrics(write=output, clock=clock, current=current, watch=watch).record("m", 1)
    assert started == [1]


def test_works_alone_and_silently() -> None:
    metrics = Metrics()
    metrics.record("m", 1)
    assert metrics.status()["lines"] == 1


def test_increment_counts(metrics: Metrics) -> None:
    metrics.increment("calls")
    metrics.increment("calls", 4)
    assert metrics.status()["summary"]["calls"] == {
        "count": 2,
        "sum": 5.0,
        "min": 1,
        "max": 4,
        "unit": "Count",
        "is_published": True,
    }


def test_duration_records_milliseconds_also_of_a_failing_block(output: Output) -> None:
    times = iter((1.0, 1.25, 2.0, 2.5))
    metrics = Metrics(write=output, timer=lambda: next(times))
    with metrics.duration("step"):
        pass
    with pytest.raises(ValueError, match="no"), metrics.duration("step", {"home": "a"}):
        raise ValueError("no")  # noqa: EM101
    assert [line["step"] for line in output.lines] == [250.0, 500.0]


def test_identities_past_the_limit_are_summed_up_locally(
    output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    metrics = Metrics(write=output, clock=clock, current=current, max_identities=2)
    for name in ("a", "b", "c"):
        metrics.record(name, 1)
    metrics.record("a", 1, dimensions={"x": "y"})
    metrics.flush()
    (line,) = output.lines
    assert {"a", "b"} <= set(line)
    assert "c" not in line
    status = metrics.status()
    assert status["identities"] == {"published": 2, "limit": 2}
    assert status["summary"]["c"]["is_published"] is False
    assert status["summary"]["a{x=y}"]["sum"] == 1


def test_a_namespace_has_identities_of_its_own(metrics: Metrics, output: Output) -> None:
    metrics.record("m", 1)
    metrics.use_namespace("Other")
    metrics.record("m", 2)
    metrics.use_namespace("Test")
    metrics.record("m", 3)
    metrics.flush()
    namespaces = [line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in output.lines]
    assert namespaces == ["Test", "Other"]
    assert [line["m"] for line in output.lines] == [[1, 3], 2]


def test_a_failing_output_loses_lines_and_says_so(metrics: Metrics, output: Output) -> None:
    output.broken = True
    metrics.record("m", 1)
    metrics.flush()
    assert metrics.status()["lost"] == 1
    assert metrics.status()["pending"] == 0


def test_unbounded_dimensions_stop_being_kept(metrics: Metrics) -> None:
    for number in range(MAX_LOCAL + 15):
        metrics.record("m", 1, dimensions={"id": str(number)})
    status = metrics.status()
    assert status["identities"]["published"] == 10
    assert len(status["summary"]) == MAX_LOCAL + 10
    assert status["ignored"] == 5


def test_values_of_the_last_moments_are_written_at_once(
    metrics: Metrics, output: Output, clock: FakeClock
) -> None:
    clock.advance(2.95)
    metrics.record("m", 1)
    assert output.lines[0]["m"] == 1


def test_a_forked_child_forgets_what_its_parent_will_write(
    metrics: Metrics, output: Output
) -> None:
    metrics.record("m", 1)
    metrics.forget()
    metrics.flush()
    assert output.writes == []
    metrics.record("m", 2)
    metrics.flush()
    assert output.lines[0]["m"] == 2


def test_only_local_metrics_write_nothing(output: Output) -> None:
    metrics = Metrics(write=output, max_identities=0)
    metrics.record("m", 1)
    metrics.flush()
    assert output.writes == []


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            ("m", float("nan")),
            ValueError,
            "the value of metric 'm' must be between -2**360 and 2**360, not nan",
        ),
        (
            ("m", float("inf")),
            ValueError,
            "the value of metric 'm' must be between -2**360 and 2**360, not inf",
        ),
        (
            ("m", 10**400),
            ValueError,
            f"the value of metric 'm' must be between -2**360 and 2**360, not {10**400}",
        ),
        (
            ("m", 1, None, [1]),
            TypeError,
            "dimensions of metric 'm' must map names to texts, not [1]",
        ),
        (("m", True), TypeError, "the value of metric 'm' must be a number, not True"),
        (("m", "1"), TypeError, "the value of metric 'm' must be a number, not '1'"),
        ((3, 1), TypeError, "a metric name must be text, not 3"),
        (("", 1), ValueError, "a metric name is 1 to 1024 printable characters, not ''"),
        ((" ", 1), ValueError, "a metric name is 1 to 1024 printable characters, not ' '"),
        (("a\n", 1), ValueError, "a metric name is 1 to 1024 printable characters, not 'a\\n'"),
        (
            ("m", 1, "Furlongs"),
            ValueError,
            f"unit of metric 'm' must be one of {', '.join(sorted(UNITS))}, not 'Furlongs'",
        ),
        (
            ("seen", 1, "Bytes"),
            ValueError,
            "metric 'seen' was recorded in Count before, not 'Bytes': one metric has one unit",
        ),
        (
            ("m", 1, None, {str(n): "v" for n in range(31)}),
            ValueError,
            "metric 'm' may have 30 dimensions, not 31",
        ),
        (("m", 1, None, {"d": 5}), TypeError, "a value of dimension 'd' must be text, not 5"),
        (
            ("m", 1, None, {"d": ""}),
            ValueError,
            "a value of dimension 'd' is 1 to 1024 printable characters, not ''",
        ),
        (
            ("m", 1, None, {"x" * 251: "v"}),
            ValueError,
            f"a dimension name is 1 to 250 printable characters, not '{'x' * 251}'",
        ),
        (
            ("m", 1, None, {"m": "v"}),
            ValueError,
            "metric 'm' has a dimension of the same name; rename one of them",
        ),
        (("_aws", 1), ValueError, "'_aws' is the format's own member; choose another name"),
        (
            ("m", 1, None, {"_aws": "v"}),
            ValueError,
            "'_aws' is the format's own member; choose another name",
        ),
    ],
)
def test_wrong_arguments_are_refused_and_nothing_is_recorded(
    metrics: Metrics, arguments: tuple[object, ...], kind: type[Exception], message: str
) -> None:
    metrics.increment("seen")
    before = metrics.status()
    with pytest.raises(kind) as caught:
        metrics.record(*arguments)
    assert str(caught.value) == message
    assert metrics.status() == before


@pytest.mark.parametrize("namespace", ["", "a b", "ü", "x" * 257, 5])
def test_a_wrong_namespace_is_refused(metrics: Metrics, namespace: object) -> None:
    with pytest.raises(ValueError, match=r"^a metric namespace is 1 to 256 of the characters A-Z"):
        metrics.use_namespace(namespace)
    assert metrics.status()["namespace"] == "Test"


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^max_identities must be at least 0, not -1$"):
        Metrics(max_identities=-1)


def test_threads_lose_no_value(metrics: Metrics, output: Output) -> None:
    def work() -> None:
        for _ in range(300):
            metrics.increment("m")
            metrics.increment("n", 2)
        metrics.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics.flush()
    assert total(output, "m") == 1200
    assert total(output, "n") == 2400
    assert metrics.status()["identities"]["published"] == 2


def test_a_metric_opened_by_two_threads_at_once_is_one_identity(metrics: Metrics) -> None:
    class Overtaken:
        """A lock before which another thread has recorded the same metric."""

        def __enter__(self) -> None:
            metrics._lock = lock
            metrics.increment("m")
            lock.acquire()

        def __exit__(self, *error: object) -> None:
            lock.release()

    lock, metrics._lock = metrics._lock, Overtaken()
    metrics.increment("m")
    assert metrics.status()["identities"]["published"] == 1
    assert metrics.status()["summary"]["m"]["count"] == 2


def total(output: Output, name: str) -> float:
    values = [line.get(name, 0) for line in output.lines]
    return sum(sum(value) if isinstance(value, list) else value for value in values)


records = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(-1000, 1000),
        st.sampled_from([None, {"d": "1"}, {"d": "2"}, {"d": "1", "e": "1"}]),
        st.booleans(),
    ),
    max_size=300,
)


@given(records)
def test_what_is_published_adds_up_to_what_was_recorded(
    sequence: list[tuple[str, int, dict[str, str] | None, bool]],
) -> None:
    output = Output()
    metrics = Metrics(
        write=output,
        current=SimpleNamespace(invocation=SimpleNamespace(deadline=float("inf"))),
        max_identities=100,
    )
    model: dict[object, list[int]] = {}
    for name, value, dimensions, flush in sequence:
        metrics.record(name, value, dimensions=dimensions)
        key = (name, *sorted((dimensions or {}).items()))
        model.setdefault(key, []).append(value)
        if flush:
            metrics.flush()
    metrics.flush()
    found: dict[object, list[int]] = {}
    for line in output.lines:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        (dimensions,) = directive["Dimensions"]
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            values = line[metric["Name"]]
            values = values if isinstance(values, list) else [values]
            assert len(values) <= MAX_VALUES
            key = (metric["Name"], *sorted((name, line[name]) for name in dimensions))
            found.setdefault(key, []).extend(values)
    assert found == model
