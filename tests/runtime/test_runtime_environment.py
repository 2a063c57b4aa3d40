"""What a function finds around it, by the managed client and by our own alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ECHO = """
    def handler(event, context):
        return event
"""


def test_log_lines_arrive_in_order_with_the_invocation_that_wrote_them(function: Any) -> None:
    source = """
        import logging, os, sys
        print("init é")
        def handler(event, context):
            print("one", event)
            sys.stderr.write("two\\n")
            os.write(1, b"three\\n")
            sys.stdout.writelines(["four\\n"])
            logging.warning("five")
            context.log("six\\n")
            print()
            print("no newline", end="")
    """
    with function(source) as runtime:
        first, second = runtime.invoke(1), runtime.invoke(2)
    assert first.logs[0] == "init é"
    for result, lines in ((first, first.logs[1:]), (second, second.logs)):
        level, moment, request_id, text = lines[4].split("\t")
        assert (level, request_id, text) == ("[WARNING]", result.request_id, "five")
        assert moment.endswith("Z")
        assert len(moment) == len("2026-01-01T00:00:00.000Z")
        assert lines[1:4] == ["two", "three", "four"]
        assert lines[5:] == ["six", "", "no newline"]
    assert (first.logs[1], second.logs[0]) == ("one 1", "one 2")


def test_the_context_has_the_attributes_of_the_managed_one(function: Any) -> None:
    source = """
        def handler(event, context):
            public = {name: value for name, value in vars(context).items() if name[0] != "_"}
            return {
                "public": {name: repr(value) for name, value in public.items()},
                "text": repr(context),
                "remaining": context.get_remaining_time_in_millis(),
                "identity": [context.identity.cognito_identity_id,
                             context.identity.cognito_identity_pool_id],
                "w3c": context.w3c(),
                "client": [getattr(context.client_context, name, "-")
                           for name in ("custom", "env")],
                "title": getattr(
                    getattr(context.client_context, "client", None), "app_title", "-"),
            }
    """
    with function(source, memory_mb=256, function_name="echo", region="eu-west-1") as runtime:
        plain, rich = (
            runtime.invoke({}),
            runtime.invoke(
                {},
                client_context={
                    "custom": {"a": "é"},
                    "client": {"app_title": "App"},
                    "w3c": {"traceparent": "00-1", "tracestate": 5, "other": "x"},
                },
                headers={
                    "Lambda-Runtime-Aws-Tenant-Id": "tenant",
                    "Lambda-Runtime-Cognito-Identity": (
                        '{"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}'
                    ),
                },
            ),
        )
    answer = plain.json()
    stream = answer["public"].pop("log_stream_name")
    assert "[$LATEST]" in stream
    assert answer["public"] == {
        "aws_request_id": repr(plain.request_id),
        "log_group_name": "'/aws/lambda/echo'",
        "function_name": "'echo'",
        "memory_limit_in_mb": "'256'",
        "function_version": "'$LATEST'",
        "invoked_function_arn": "'arn:aws:lambda:eu-west-1:123456789012:function:echo'",
        "tenant_id": "None",
        "client_context": "None",
        "identity": "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])",
    }
    assert answer["text"].startswith(f"LambdaContext([aws_request_id={plain.request_id},")
    assert 0 < answer["remaining"] <= 8000
    assert (answer["identity"], answer["w3c"], answer["client"]) == ([None, None], {}, ["-", "-"])
    assert rich.error is None
    answer = rich.json()
    assert answer["public"]["tenant_id"] == "'tenant'"
    assert answer["identity"] == ["id", "pool"]
    assert answer["w3c"] == {"traceparent": "00-1"}
    assert answer["client"] == [{"a": "é"}, None]
    assert answer["title"] == "App"


def test_a_client_context_that_is_no_json_is_an_error(function: Any) -> None:
    with function(ECHO) as runtime:
        result = runtime.invoke({}, headers={"Lambda-Runtime-Client-Context": "{"})
    assert result.error is not None
    assert result.error.type == "Runtime.LambdaContextUnmarshalError"
    assert result.error.message.startswith("Unable to parse Client Context JSON: ")


def test_the_environment_is_lambdas_and_holds_nothing_of_the_host(
    function: Any, cache: Path, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAK", "of the host")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the host")
    source = """
        import os
        def handler(event, context):
            return dict(os.environ)
    """
    with function(source, environment={"TABLE": "users", "TZ": "UTC"}) as runtime:
        variables = runtime.invoke({}, headers={"Lambda-Runtime-Trace-Id": "Root=1"}).json()
    # The interpreter adds it where the machine does not have Lambda's locale.
    variables.pop("LC_CTYPE", None)
    runtime_dir = str(cache / "{}-{}.{}.{}".format(client, *sys.version_info))
    assert variables.pop("AWS_LAMBDA_RUNTIME_API").startswith("127.0.0.1:")
    assert variables.pop("AWS_LAMBDA_LOG_STREAM_NAME")[10:20] == "/[$LATEST]"
    assert variables == {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python{}.{}".format(*sys.version_info),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "local",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/local",
        "AWS_REGION": "us-east-1",
        "LAMBDA_RUNTIME_DIR": runtime_dir,
        "LAMBDA_TASK_ROOT": str(runtime.task_root),
        "LANG": "en_US.UTF-8",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PYTHONPATH": runtime_dir,
        "TABLE": "users",
        "TZ": "UTC",
        "_HANDLER": "app.handler",
        "_X_AMZN_TRACE_ID": "Root=1",
    }


def test_nothing_of_the_development_environment_can_be_imported(
    function: Any, cache: Path, client: str
) -> None:
    source = """
        import importlib.machinery, os, sys
        loaded = sorted(sys.modules)
        def handler(event, context):
            return {
                "path": sys.path,
                "pytest": importlib.machinery.PathFinder.find_spec("pytest") is not None,
                "folder": os.getcwd(),
                "loaded": loaded,
                "marked": getattr(sys, "marked", False),
            }
    """
    with function(source) as runtime:
        (runtime.task_root / "mark.pth").write_text("import sys; sys.marked = True\n")
        answer = runtime.invoke({}).json()
    runtime_dir = str(cache / "{}-{}.{}.{}".format(client, *sys.version_info))
    assert answer["path"][:2] == [str(runtime.task_root), runtime_dir]
    assert not [path for path in answer["path"] if path.endswith("-packages")]
    assert answer["pytest"] is False
    assert answer["marked"] is True
    assert answer["folder"] == str(runtime.task_root)
    assert "runpy" not in answer["loaded"]


def test_the_task_root_stays_as_it_was(function: Any) -> None:
    with function("import other\ndef handler(event, context): ...") as runtime:
        (runtime.task_root / "other.py").write_text("")
        assert runtime.invoke({}).error is None
        assert sorted(path.name for path in runtime.task_root.iterdir()) == ["app.py", "other.py"]
