"""The bridge, and a user's function, as Lambda runs them: in a process of their own, to the end."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli.layout import lay_out
from gateway.cli.local_runtime import LocalRuntime
from ha_extension.demo_home import DemoHome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVENTS = Path(__file__).parents[2] / "examples" / "events"
PACKAGES = ("gateway", "cores", "fastpath_ext", "ha_extension", "urllib3")


def event(name: str, token: str) -> Any:
    text = (EVENTS / f"alexa-{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace('"TOKEN"', json.dumps(token)))


@pytest.fixture(scope="module")
def bridge_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("bridge") / "task", PACKAGES).root


@pytest.fixture
def bridge(bridge_root: Path, cache: Path, client: str) -> Callable[..., LocalRuntime]:
    """Return a function that makes a runtime of the bridge to the home at a URL."""

    def make(url: str, timeout: float = 8.0) -> LocalRuntime:
        return LocalRuntime(
            bridge_root,
            "ha_extension.lambda_handler",
            client=client,
            cache_dir=cache,
            timeout=timeout,
            environment={"HOME_ASSISTANT_URL": url},
        )

    return make


@pytest.fixture
def silent_home() -> Iterator[str]:
    """Return the URL of a home whose kernel takes connections and that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_discovery_and_turn_on_are_answered_by_the_demo_home(
    bridge: Callable[..., LocalRuntime],
) -> None:
    with DemoHome() as home, bridge(home.url) as runtime:
        discovery = runtime.invoke(event("discovery", home.token))
        turn_on = runtime.invoke(event("turn-on", home.token))
    assert (discovery.error, turn_on.error) == (None, None)
    assert (discovery.cold, turn_on.cold) == (True, False)
    endpoints = discovery.json()["event"]["payload"]["endpoints"]
    assert "light#kitchen_lights" in [endpoint["endpointId"] for endpoint in endpoints]
    assert turn_on.json()["event"]["header"]["name"] == "Response"
    for result in (discovery, turn_on):
        (line,) = map(json.loads, result.logs)
        assert line["message"] == "answered"
        assert home.token not in "".join(result.logs)


def test_a_home_that_hangs_is_unreachable_before_the_function_times_out(
    bridge: Callable[..., LocalRuntime], silent_home: str
) -> None:
    with bridge(silent_home, timeout=1.5) as runtime:
        result = runtime.invoke(event("turn-on", "T"))
    assert result.error is None
    assert result.json()["event"]["payload"]["type"] == "BRIDGE_UNREACHABLE"
    assert json.loads(result.logs[-1])["kind"] == "deadline"


def test_what_was_logged_and_measured_before_a_timeout_is_kept(
    tmp_path: Path, cache: Path, client: str
) -> None:
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "app.py").write_text(
        "import time\n"
        "import gateway\n"
        "@gateway.handler\n"
        "def lambda_handler(event, context):\n"
        "    gateway.log_info('work began', step=1)\n"
        "    gateway.record_metric('Parts', 3, 'Count')\n"
        "    time.sleep(30)\n",
        encoding="utf-8",
    )
    task = lay_out(tmp_path / "task", ("gateway", "cores", "fastpath_ext"), folder=folder)
    with LocalRuntime(
        task.root, "app.lambda_handler", client=client, cache_dir=cache, timeout=1.0
    ) as runtime:
        result = runtime.invoke({})
    assert result.error
    assert result.error.type == "Sandbox.Timedout"
    lines = [json.loads(line) for line in result.logs]
    assert [line["step"] for line in lines if line.get("message") == "work began"] == [1]
    assert [line["Parts"] for line in lines if "_aws" in line] in ([3], [[3]])
