from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cores.errors import GatewayError
from gateway.cli.interpreter import describe
from gateway.cli.layout import LayoutError
from gateway.cli.local_runtime import LocalRuntime, LocalRuntimeError
from gateway.cli.runtime_api import EVENT_LIMIT
from gateway.cli.runtime_folder import choose_client, default_cache, lay_runtime_out

ECHO = "def handler(event, context): return event"


@pytest.fixture
def client() -> str:
    return "pure"


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """Return an interpreter without any package."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{describe().base}" -S "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_a_missing_task_root_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    message = f"the task root {str(gone)!r} is not a folder; lay the function out"
    with pytest.raises(LocalRuntimeError, match=f"^{re.escape(message)}$"):
        LocalRuntime(gone, "app.handler")


def test_a_missing_handler_module_is_named(task_root: Path) -> None:
    message = (
        f"there is no module 'pkg/app' in {str(task_root)!r}; name the file and the function, "
        "for instance app.lambda_handler for lambda_handler in app.py"
    )
    with pytest.raises(LocalRuntimeError, match=f"^{re.escape(message)}$"):
        LocalRuntime(task_root, "pkg/app.handler")
    assert issubclass(LocalRuntimeError, GatewayError)


def test_a_handler_module_may_come_from_the_given_path(
    task_root: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "elsewhere.py").write_text(ECHO)
    with LocalRuntime(
        task_root,
        "elsewhere.handler",
        client="pure",
        cache_dir=cache,
        environment={"PYTHONPATH": str(tmp_path)},
    ) as runtime:
        assert runtime.invoke(1).json() == 1


@pytest.mark.parametrize("handler", ["app", "app.", ".handler", ""])
def test_a_malformed_handler_is_misuse(task_root: Path, handler: str) -> None:
    message = f"handler must be MODULE.FUNCTION, not {handler!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LocalRuntime(task_root, handler)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_HANDLER",
    ],
)
def test_variables_that_follow_from_arguments_are_refused(function: Any, name: str) -> None:
    message = f"environment must not set {name!r}, which follows from the other arguments"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(ECHO, environment={name: "x"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
        ({"init_timeout": -1.5}, "init_timeout must be more than 0 seconds, not -1.5"),
        ({"memory_mb": 64}, "memory_mb must be from 128 to 10240, not 64"),
        ({"memory_mb": 10241}, "memory_mb must be from 128 to 10240, not 10241"),
        ({"client": "node"}, "client must be 'auto', 'awslambdaric' or 'pure', not 'node'"),
    ],
)
def test_a_wrong_option_is_misuse(function: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(ECHO, **options)


def test_an_event_that_lambda_would_refuse_is_refused(function: Any) -> None:
    message = (
        f"an event must be at most {EVENT_LIMIT} bytes, not {EVENT_LIMIT + 1}; "
        "Lambda refuses it too: send the place of large data instead"
    )
    with function(ECHO) as runtime:
        with pytest.raises(LocalRuntimeError, match=f"^{re.escape(message)}$"):
            runtime.invoke(b"1" * (EVENT_LIMIT + 1))
        assert runtime.invoke(bytearray(b"1")).json() == 1


def test_an_invocation_broken_off_leaves_no_process_behind(function: Any) -> None:
    with function(ECHO) as runtime:
        assert not runtime.invoke(1).error
        with pytest.raises(UnicodeEncodeError):
            runtime.invoke(2, headers={"X-Word": "\N{SNOWMAN}"})
        after = runtime.invoke(3)
    assert (after.cold, after.json()) == (True, 3)


def test_the_missing_managed_client_is_named_and_auto_does_without(bare_python: str) -> None:
    interpreter = describe(bare_python)
    message = (
        f"the runtime client cannot be imported by {bare_python} (awslambdaric is missing); run: "
        f"{bare_python} -m pip install awslambdaric (Linux only), or take client='pure'"
    )
    with pytest.raises(LocalRuntimeError, match=f"^{re.escape(message)}$"):
        choose_client("awslambdaric", interpreter)
    assert choose_client("auto", interpreter) == "pure"


def test_auto_takes_the_managed_client_where_it_is_installed(task_root: Path, cache: Path) -> None:
    pytest.importorskip("awslambdaric", reason="awslambdaric exists for Linux only")
    (task_root / "app.py").write_text(ECHO)
    with LocalRuntime(task_root, "app.handler", cache_dir=cache) as runtime:
        assert runtime.client == "awslambdaric"
        assert runtime.invoke("hi").json() == "hi"


def test_another_interpreter_runs_the_function(function: Any, bare_python: str) -> None:
    source = "import sys\ndef handler(event, context): return [sys.version_info[:2], sys.path]"
    with function(source, python=bare_python) as runtime:
        version, path = runtime.invoke({}).json()
    assert tuple(version) == sys.version_info[:2]
    assert not [entry for entry in path if entry.endswith("-packages")]


def test_the_runtime_folder_is_kept_in_a_virtual_environment(tmp_path: Path) -> None:
    assert default_cache(str(tmp_path)) == tmp_path / ".thriftgate"
    assert default_cache(sys.base_prefix) is None
    assert default_cache(str(tmp_path / "gone")) is None


def test_without_a_virtual_environment_nothing_is_kept(
    task_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (task_root / "app.py").write_text(ECHO)
    with LocalRuntime(task_root, "app.handler", client="pure") as runtime:
        assert runtime.invoke(5).json() == 5
        assert len(list(tmp_path.glob("thriftgate-*"))) == 1
    assert list(tmp_path.glob("thriftgate-*")) == []


def test_the_runtime_folder_holds_the_client_and_nothing_else(cache: Path) -> None:
    folder = lay_runtime_out(cache, "pure", describe())
    assert sorted(path.name for path in folder.iterdir()) == [
        "__pycache__",
        "bootstrap.py",
        "runtime_client.py",
    ]
    pytest.importorskip("awslambdaric", reason="awslambdaric exists for Linux only")
    folder = lay_runtime_out(cache, "awslambdaric", describe())
    assert sorted(path.name.partition(".")[0] for path in folder.iterdir()) == [
        "__pycache__",
        "awslambdaric",
        "bootstrap",
        "runtime_client",
        "simplejson",
        "snapshot_restore_py",
    ]


def test_a_snapshot_start_is_answered(task_root: Path, cache: Path) -> None:
    pytest.importorskip("awslambdaric", reason="awslambdaric exists for Linux only")
    (task_root / "app.py").write_text(ECHO)
    with LocalRuntime(
        task_root,
        "app.handler",
        client="awslambdaric",
        cache_dir=cache,
        environment={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"},
    ) as runtime:
        assert runtime.invoke("hi").json() == "hi"


def test_a_process_that_hangs_after_its_answer_is_replaced(function: Any) -> None:
    # With our own client a stream's flush comes after the answer only if the handler arranges it.
    source = """
        import http.client, time
        def handler(event, context):
            post = http.client.HTTPConnection.request
            def hang(self, method, *rest, **options):
                if method == "GET":
                    time.sleep(60)
                post(self, method, *rest, **options)
            if event:
                http.client.HTTPConnection.request = hang
            return "well"
    """
    with function(source, timeout=1.0) as runtime:
        results = [runtime.invoke(event) for event in (1, 0, 0)]
    assert [result.json() for result in results] == ["well"] * 3
    assert [result.cold for result in results] == [True, True, False]


def test_a_task_root_that_has_gone_is_named(function: Any) -> None:
    with function(ECHO) as runtime:
        (runtime.task_root / "app.py").unlink()
        runtime.task_root.rmdir()
        pattern = (
            r"the runtime process could not be started: \[Errno 2\] .*; check that "
            + re.escape(repr(str(runtime.task_root)))
            + " and '.*' are still there"
        )
        with pytest.raises(LocalRuntimeError, match=f"^{pattern}$"):
            runtime.invoke({})


def test_a_cache_that_cannot_be_written_is_named(function: Any, task_root: Path) -> None:
    in_the_way = task_root / "app.py"
    pattern = f"{re.escape(repr(str(in_the_way)))[:-1]}/pure-.*' cannot be written: .*; "
    with pytest.raises(LayoutError, match=f"^{pattern}give a folder that can$"):
        function(ECHO, cache_dir=in_the_way)
