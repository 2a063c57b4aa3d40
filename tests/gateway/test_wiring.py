from __future__ import annotations

import graphlib
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway import ConfigurationError, _wiring
from gateway._dispatch import is_loaded
from gateway._wiring import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Fresh

    Written = Callable[[], list[dict[str, object]]]


class Recording(Lazy):
    """Stands in for a core and notes that it was touched."""

    def __init__(self, name: str, touched: list[str]) -> None:
        super().__init__(name, lambda: None)
        self._touched = touched

    def __getattr__(self, name: str) -> object:
        if not name.startswith("_"):
            self._touched.append(f"{self._name}.{name}")
        return super().__getattr__(name)


def with_stand_ins(build: Callable[[], object]) -> Callable[[], object]:
    """Return a builder with what stands in for the cores that it was given by name."""
    if not isinstance(build, partial):
        return build
    return partial(
        build.func,
        *[getattr(_wiring, a._name) if isinstance(a, Lazy) else a for a in build.args],
        **{
            k: getattr(_wiring, v._name) if isinstance(v, Lazy) else v
            for k, v in build.keywords.items()
        },
    )


def graph(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, set[str]], list[str]]:
    """Build every core with stand-ins for all others; return who got whom, and who was touched."""
    touched: list[str] = []
    variables = {
        variable: value for variable, value in vars(_wiring).items() if isinstance(value, Lazy)
    }
    stand_ins = {variable: Recording(lazy._name, touched) for variable, lazy in variables.items()}
    for variable, stand_in in stand_ins.items():
        monkeypatch.setattr(_wiring, variable, stand_in)
    edges = {}
    for lazy in variables.values():
        built = with_stand_ins(lazy._build)()
        held = vars(built).values() if hasattr(built, "__dict__") else ()
        edges[lazy._name] = {port._name for port in held if isinstance(port, Recording)}
    return edges, touched


def test_the_wiring_has_no_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    edges, _ = graph(monkeypatch)
    assert edges["lambda_"] == {"responses", "logging"}
    assert edges["http_client"] == {"circuit_breaker", "logging"}  # the check sees edges
    graphlib.TopologicalSorter(edges).prepare()  # raises CycleError


def test_the_stand_in_notes_what_is_touched() -> None:
    touched: list[str] = []
    stand_in = Recording("port", touched)
    for name in ("method", "_private"):
        with pytest.raises(AttributeError):
            getattr(stand_in, name)
    assert touched == ["port.method"]


def test_the_watch_flushes_what_is_loaded_and_builds_nothing() -> None:
    # The one way back in the wiring: logging and metrics hold the watch, which flushes both.
    _wiring.watch.look()
    _wiring.flush()
    assert not is_loaded(_wiring.logging)
    assert not is_loaded(_wiring.metrics)


def test_building_a_core_touches_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    _, touched = graph(monkeypatch)
    assert touched == []


@pytest.mark.parametrize(
    ("name", "value", "message", "call"),
    [
        (
            "THRIFTGATE_CACHE_MAX_ENTRIES",
            "0",
            "THRIFTGATE_CACHE_MAX_ENTRIES must be a number of at least 1, not '0'",
            gateway.cache_stats,
        ),
        (
            "THRIFTGATE_CACHE_MAX_BYTES",
            "many",
            "THRIFTGATE_CACHE_MAX_BYTES must be a number of at least 0, not 'many'",
            gateway.cache_stats,
        ),
        (
            "THRIFTGATE_METRICS_MAX_IDENTITIES",
            "nan",
            "THRIFTGATE_METRICS_MAX_IDENTITIES must be a number of at least 0, not 'nan'",
            gateway.metrics_status,
        ),
        (
            "THRIFTGATE_METRICS_NAMESPACE",
            "a b",
            "THRIFTGATE_METRICS_NAMESPACE is wrong: a metric namespace is 1 to 256 of the "
            "characters A-Z a-z 0-9 . _ - # : /, not 'a b'",
            gateway.metrics_status,
        ),
        (
            "THRIFTGATE_HTTP_TIMEOUT",
            "0",
            "THRIFTGATE_HTTP_TIMEOUT must be a number of at least 0.001, not '0'",
            gateway.http_stats,
        ),
    ],
)
def test_a_wrong_setting_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str, call: object
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert str(caught.value) == message
    monkeypatch.delenv(name)
    call()  # and the next call tries again


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "THRIFTGATE_LOG_BUFFER",
            "-1",
            "THRIFTGATE_LOG_BUFFER must be a number of at least 0, not '-1'",
        ),
        (
            "THRIFTGATE_LOG_LEVEL",
            "LOUD",
            "THRIFTGATE_LOG_LEVEL must be one of TRACE, DEBUG, INFO, WARN, WARNING, ERROR, FATAL, "
            "CRITICAL, not 'LOUD'",
        ),
        (
            "AWS_LAMBDA_LOG_LEVEL",
            "quiet",
            "AWS_LAMBDA_LOG_LEVEL must be one of TRACE, DEBUG, INFO, WARN, WARNING, ERROR, FATAL, "
            "CRITICAL, not 'quiet'",
        ),
    ],
)
def test_a_wrong_setting_of_the_log_is_its_first_line(
    monkeypatch: pytest.MonkeyPatch, written: Written, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    gateway.log_info("the function goes on")
    assert [line["message"] for line in written()] == [
        f"{message}; the defaults are used",
        "the function goes on",
    ]


def test_settings_reach_their_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRIFTGATE_CACHE_MAX_ENTRIES", "1")
    monkeypatch.setenv("THRIFTGATE_METRICS_NAMESPACE", "Home")
    monkeypatch.setenv("THRIFTGATE_LOG_LEVEL", "error")
    gateway.cache_set("a", 1)
    gateway.cache_set("b", 2)
    assert not gateway.cache_contains("a")
    assert gateway.metrics_status()["namespace"] == "Home"
    gateway.log_warning("not written")
    assert gateway.log_stats()["bytes"] == 0


def test_own_log_level_wins_over_lambdas(monkeypatch: pytest.MonkeyPatch, written: Written) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", "ERROR")
    gateway.log_info("unheard")
    gateway.reset()
    monkeypatch.setenv("THRIFTGATE_LOG_LEVEL", "DEBUG")
    gateway.log_debug("heard")
    assert [line["message"] for line in written()] == ["heard"]


def test_write_goes_on_after_a_short_write(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = []

    def short_write(descriptor: int, data: memoryview) -> int:
        assert descriptor == 1
        pieces.append(bytes(data[:3]))
        return len(pieces[-1])

    monkeypatch.setattr(os, "write", short_write)
    _wiring.write_stdout(b"12345678")
    assert pieces == [b"123", b"456", b"78"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("raise ImportError('cut short')", "fastpath_ext is not installed (cut short)"),
        ("raise OSError('bad')", "fastpath_ext cannot be imported (OSError: bad)"),
        ("x = 1", "fastpath_ext is another package"),
        ("COMPILED = False; reason = 'no compiler'", "no compiler"),
        (
            "COMPILED = True",
            "fastpath_ext speaks ABI None, this gateway needs 2; upgrade the older",
        ),
        (
            "COMPILED = True; ABI = 1",
            "fastpath_ext speaks ABI 1, this gateway needs 2; upgrade the older",
        ),
        (
            "COMPILED = True; ABI = 99",
            "fastpath_ext speaks ABI 99, this gateway needs 2; upgrade the older",
        ),
        (
            "COMPILED = True; ABI = 2",
            "fastpath_ext makes no handles"
            " (AttributeError: module 'fastpath_ext' has no attribute 'put_handles')",
        ),
        (
            "COMPILED = True; ABI = 2; put_handles = 7",
            "fastpath_ext makes no handles (TypeError: 'int' object is not callable)",
        ),
        ("import nowhere", "fastpath_ext is not installed (No module named 'nowhere')"),
    ],
)
def test_an_unusable_extension_means_the_pure_path(
    fresh: Fresh, tmp_path: object, module: str, reason: str
) -> None:
    (tmp_path / "fastpath_ext.py").write_text(module)
    out = fresh(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gateway;"
        "s = gateway.get_gateway_stats(); print(s['path']); print(s['reason']);"
        "gateway.cache_set('k', 1); print(gateway.cache_get('k'))",
        THRIFTGATE_PURE="",
    )
    assert out.splitlines() == ["pure", reason, "1"]


def test_the_pure_path_can_be_asked_for(fresh: Fresh) -> None:
    out = fresh(
        "import gateway; s = gateway.get_gateway_stats(); print(s['path'], s['reason'])",
        THRIFTGATE_PURE="1",
    )
    assert out == "pure THRIFTGATE_PURE is set\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_writes_nothing_of_its_parents(fresh: Fresh) -> None:
    out = fresh(
        "import os, gateway, types\n"
        "from gateway import _wiring\n"
        "gateway.reset()\n"
        "going = types.SimpleNamespace(correlation_id='c', request_id='r', function_name='f',"
        " cold_start=True, deadline=float('inf'))\n"
        "_wiring.current.invocation = going\n"
        "gateway.log_info('parent')\n"
        "gateway.record_metric('m', 1)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    gateway.log_warning('child'); gateway.flush_metrics(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "gateway.log_flush(); gateway.flush_metrics()\n"
    )
    assert [out.count(word) for word in ('"child"', '"parent"', '"m":1')] == [1, 1, 1]


def test_only_loaded_cores_forget() -> None:
    gateway.preload("logging")
    _wiring.flush("forget")
    assert not is_loaded(_wiring.metrics)
