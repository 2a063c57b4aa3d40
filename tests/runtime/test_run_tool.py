"""`dev.py run`, as a reader of its JSON document sees it: what was answered, and no token."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "examples" / "events"
PLANTED = "planted-token"
NOWHERE = ("--home", "http://127.0.0.1:9", "--token", PLANTED)  # the discard port: nobody listens
MANAGED = pytest.param(
    "awslambdaric",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("awslambdaric") is None,
        reason="awslambdaric cannot be imported: it exists for Linux only",
    ),
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("HOME_ASSISTANT_")
    }
    return subprocess.run(
        [sys.executable, "-m", "tools.run", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


def tokens_in(value: Any) -> list[Any]:
    """Return what is called a token anywhere in a JSON document."""
    if isinstance(value, list):
        return [token for item in value for token in tokens_in(item)]
    if isinstance(value, dict):
        own = [value["token"]] if "token" in value else []
        return own + tokens_in(list(value.values()))
    return []


def check_document(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Hold the document of Discovery and TurnOn against the demo home to its promise."""
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert list(document) == ["path", "invocations"]
    for invocation in document["invocations"]:
        assert list(invocation) == [
            *("event", "response", "init_ms", "duration_ms", "billed_ms", "logs")
        ]
    discovery, turn_on = document["invocations"]
    assert discovery["event"] == "Alexa.Discovery/Discover"
    assert discovery["init_ms"] > 0
    assert discovery["response"]["event"]["header"]["name"] == "Discover.Response"
    assert discovery["response"]["event"]["payload"]["endpoints"]
    sent = json.loads((EVENTS / "alexa-turn-on.json").read_text(encoding="utf-8"))["directive"]
    assert turn_on["event"] == "Alexa.PowerController/TurnOn"
    assert turn_on["init_ms"] == 0
    answer = turn_on["response"]["event"]
    assert (answer["header"]["namespace"], answer["header"]["name"]) == ("Alexa", "Response")
    assert answer["header"]["correlationToken"] == sent["header"]["correlationToken"]
    assert [line["message"] for line in turn_on["logs"]] == ["answered"]
    assert tokens_in(document) == ["TOKEN"]  # what Home Assistant echoes
    return document


@pytest.mark.parametrize("client", ["auto", "pure", MANAGED])
def test_discovery_and_turn_on_are_answered_by_the_demo_home(client: str) -> None:
    check_document(run("--json", "--client", client))


def test_the_pure_path_is_named_and_answers_the_same() -> None:
    assert check_document(run("--json", "--pure", "--client", "pure"))["path"] == "pure"


def test_a_reader_sees_the_same_without_a_token() -> None:
    result = run("--client", "pure")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Alexa.Response: " in result.stdout
    assert '"token"' not in result.stdout


def test_the_demo_home_is_not_given_the_settings_of_the_shell() -> None:
    check_document(run("--json", "--client", "pure", HOME_ASSISTANT_VERIFY_TLS="perhaps"))


@pytest.mark.parametrize("shape", [[], ["--json"]])
def test_a_home_that_is_down_is_a_failure_and_its_token_is_not_shown(shape: list[str]) -> None:
    result = run(*shape, *NOWHERE, "--client", "pure")
    assert (result.returncode, result.stderr) == (1, "")
    assert "connect" in result.stdout
    assert PLANTED not in result.stdout


def test_a_state_report_of_a_home_that_is_down_is_a_failure() -> None:
    event = str(EVENTS / "alexa-report-state.json")
    result = run("--json", *NOWHERE, "--client", "pure", "--event", event)
    assert result.returncode == 1
    (invocation,) = json.loads(result.stdout)["invocations"]
    assert invocation["response"]["event"]["header"]["name"] == "StateReport"


def test_the_settings_of_the_shell_reach_a_real_home() -> None:
    result = run(
        *("--json", "--home", "http://home.example.org", "--token", PLANTED, "--client", "pure"),
        HOME_ASSISTANT_VERIFY_TLS="perhaps",
        HOME_ASSISTANT_ALLOW_HTTP="1",
        HOME_ASSISTANT_URL="ignored",
    )
    assert result.returncode == 1
    (invocation,) = json.loads(result.stdout)["invocations"]
    assert invocation["logs"][0]["problems"] == [
        "HOME_ASSISTANT_VERIFY_TLS must be one of true, 1, yes, on, false, 0, no, off,"
        " not 'perhaps'."
    ]


def test_an_event_of_null_is_sent_and_refused(tmp_path: Path) -> None:
    event = tmp_path / "null.json"
    event.write_text("null")
    result = run("--json", "--client", "pure", "--event", str(event))
    assert result.returncode == 1
    (invocation,) = json.loads(result.stdout)["invocations"]
    assert invocation["response"] == {
        "error": "This function answers Alexa: a smart-home directive was expected."
    }


def test_a_wrong_option_is_one_line() -> None:
    result = run("--jsn")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "dev.py run has no option '--jsn'; did you mean --json?\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "it is nested too deeply"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_an_event_that_cannot_be_parsed_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    event = tmp_path / "event.json"
    event.write_text(text)
    result = run("--event", str(event))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"dev.py run: --event {event} is not JSON: {reason}; dev.py run --help tells more.\n"
    )
