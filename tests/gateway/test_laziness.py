"""What is loaded when: each case is a fresh interpreter whose sys.modules are read."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway._dispatch import FUNCTIONS

if TYPE_CHECKING:
    from conftest import Fresh

# Loaded by the Lambda runtime before any handler (3.11 to 3.14 alike), so free for us.
RUNTIME = """
import __future__, json, logging, re, decimal, threading, contextlib, functools
import collections.abc, enum, types, itertools, operator, keyword, reprlib, weakref, copyreg
import string, textwrap, traceback
import linecache, warnings, math, numbers, io, os, sys, time, atexit, abc, codecs, importlib, site
"""

REPORT = """
print(json.dumps(sorted(name for name in set(sys.modules) - before)))
"""

OURS = ("gateway", "cores", "fastpath_ext")

# One call of each function; what it may load besides its own core.
CALLS = {
    "cache_get": "('k')",
    "cache_set": "('k', 1)",
    "cache_delete": "('k')",
    "cache_clear": "()",
    "cache_contains": "('k')",
    "cache_get_many": "(['k'])",
    "cache_set_many": "({'k': 1})",
    "cache_get_or_set": "('k', int)",
    "cached": "()",
    "cache_stats": "()",
    "log_debug": "('m')",
    "log_info": "('m')",
    "log_warning": "('m')",
    "log_error": "('m')",
    "log_critical": "('m')",
    "log_exception": "('m')",
    "log_context": "(a=1)",
    "log_flush": "()",
    "log_stats": "()",
    "record_metric": "('m', 1)",
    "increment_counter": "('m')",
    "record_duration": "('m')",
    "flush_metrics": "()",
    "metrics_status": "()",
    "singleton_get": "('n', int)",
    "singleton_has": "('n')",
    "singleton_reset": "()",
    "singleton_stats": "()",
    "http_preconnect": "('http://127.0.0.1:9')",
    "http_stats": "()",
    "generate_correlation_id": "()",
    "utc_timestamp": "()",
    "parse_json": "('{}')",
    "dump_json": "({})",
    "success_response": "()",
    "error_response": "('m')",
    "validate_string": "('s', name='n')",
    "deep_get": "({}, 'a')",
    "is_cold_start": "()",
    "initialization_report": "()",
    "invocation": "()",
    "event_kind": "({})",
    "respond": "({'version': '2.0', 'requestContext': {'http': {}}})",
    "alexa_response": "()",
    "alexa_error_response": "({}, 'INTERNAL_ERROR', 'm')",
    "process_batch": "({'Records': [{'eventSource': 'aws:sqs', 'messageId': '1'}]}, print)",
    "remaining_ms": "()",
    "estimate_cost": "(1.0, memory_mb=128)",
    "breaker_call": "('b', int)",
    "breaker_configure": "('b')",
    "breaker_protect": "('b')",
    "breaker_state": "('b')",
    "breaker_reset": "()",
    "breaker_stats": "()",
    "config_get": "('NAME')",
    "config_require": "('PATH')",
    "config_section": "(type('Empty', (), {}))",
    "config_status": "()",
}
# The methods of an HTTP client need a server; http_preconnect and http_stats stand for them.
SAME_CORE = {"http_request", "http_get", "http_post", "http_put", "http_patch", "http_delete"}

MODULE = {"lambda": "cores.lambda_"}
HTTP = {"cores.http_client.connection", "cores.http_client.message", "cores.http_client.pool"}
ALSO = {
    "http_client": HTTP,
    "cache": {"cores.store"},
    "respond": {"cores.responses"},
    "alexa_response": {"cores.responses"},
    "alexa_error_response": {"cores.responses"},
    "http_preconnect": {"cores.logging"},  # says why there is no connection
}


def loaded_by(fresh: Fresh, statement: str, **environment: str) -> set[str]:
    code = f"{RUNTIME}\nbefore = set(sys.modules)\n{statement}\n{REPORT}"
    lines = fresh(code, **environment).splitlines()
    return set(json.loads(lines[-1]))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("cores.")} - {"cores.errors"}


@pytest.mark.parametrize("statement", ["import gateway", "from gateway import *"])
def test_import_loads_no_core_and_nothing_that_costs(fresh: Fresh, statement: str) -> None:
    modules = loaded_by(fresh, statement)
    allowed = {
        "gateway",
        "gateway._wiring",
        "fastpath_ext",
        "fastpath_ext._extension",
        "cython_runtime",
    }
    if "*" in statement:  # the late names are asked for
        allowed |= {"gateway._dispatch", "cores", "cores.errors"}
    assert {name for name in modules if not name.startswith("_cython")} <= allowed


def test_every_operation_has_a_case() -> None:
    assert {*CALLS, *SAME_CORE} == set(FUNCTIONS)


@pytest.mark.parametrize("name", CALLS)
def test_first_call_loads_its_core_only(fresh: Fresh, name: str) -> None:
    interface = FUNCTIONS[name].partition(".")[0]
    expected = {MODULE.get(interface, f"cores.{interface}")}
    modules = loaded_by(fresh, f"import gateway\ngateway.{name}{CALLS[name]}")
    assert ours(modules) - expected <= ALSO.get(interface, set()) | ALSO.get(name, set())
    assert expected <= modules


@pytest.mark.parametrize(
    "interface", sorted({path.partition(".")[0] for path in FUNCTIONS.values()} - {"http_client"})
)
def test_a_core_imports_what_the_runtime_has_loaded(fresh: Fresh, interface: str) -> None:
    modules = loaded_by(
        fresh, f"import gateway\ngateway.preload({interface!r})", THRIFTGATE_PURE="1"
    )
    assert {name for name in modules if not name.startswith(OURS)} == set()


DECORATED = """
import gateway
@gateway.handler
def function(event, context): return event
"""


@pytest.mark.parametrize("call", ["", "assert function({'a': 1}, None)"])
def test_handler_loads_what_every_invocation_needs(fresh: Fresh, call: str) -> None:
    assert ours(loaded_by(fresh, DECORATED + call)) == {"cores.lambda_"}


def test_a_policy_that_is_not_asked_for_is_not_loaded(fresh: Fresh) -> None:
    modules = loaded_by(fresh, "import gateway\ngateway.preload('cache')", THRIFTGATE_PURE="1")
    assert ours(modules) == {"cores.cache", "cores.store"}
    modules = loaded_by(fresh, "from cores.store import Store\nStore(1, policy='s3fifo')")
    assert ours(modules) == {"cores.store", "cores.store.s3fifo"}


def test_preload_moves_loading_into_init(fresh: Fresh) -> None:
    modules = loaded_by(
        fresh, "import gateway\n@gateway.handler(preload=['metrics'])\ndef f(event, context): ..."
    )
    assert ours(modules) == {"cores.lambda_", "cores.metrics"}


def test_typing_is_never_imported(fresh: Fresh) -> None:
    interfaces = sorted(set(gateway._wiring.interfaces) - {"http_client"})
    modules = loaded_by(fresh, f"import gateway\ngateway.preload(*{interfaces!r})")
    costly = {"typing", "dataclasses", "inspect", "datetime", "uuid", "random", "hashlib", "socket"}
    assert not modules & costly
    assert not costly - set(sys.stdlib_module_names)
