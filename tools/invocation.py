"""Send events through the runtime client and the bridge to a home, and show what came back."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import GatewayError, estimate_cost, get_gateway_stats
from gateway.cli.layout import lay_out
from gateway.cli.local_runtime import LocalRuntime
from ha_extension.demo_home import DemoHome
from tools.run import PLACEHOLDER

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
TASK = ROOT / "build" / "run"
EVENTS = ROOT / "examples" / "events"
PACKAGES = ("gateway", "cores", "fastpath_ext", "ha_extension", "urllib3")
MEMORY_MB = 512
TIMEOUT = 8.0
ERROR = "ErrorResponse"
SETTING = "HOME_ASSISTANT_"


@contextlib.contextmanager
def home(options: Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield name, URL and token of the home to talk to."""
    if options.home is not None:
        yield "your home", options.home, options.token
        return
    with DemoHome() as demo:
        yield "the demo home", demo.url, demo.token


def with_token(event: Any, token: str) -> Any:
    """Return *event* with the placeholder in its scope replaced by *token*."""
    text = json.dumps(event)
    return json.loads(text.replace(f'"token": "{PLACEHOLDER}"', f'"token": {json.dumps(token)}'))


def without(secrets: Iterable[str], value: Any) -> Any:
    """Return *value* with each of *secrets*, wherever it occurs, replaced by the placeholder."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, PLACEHOLDER)
        return value
    if isinstance(value, list):
        return [without(secrets, item) for item in value]
    if isinstance(value, dict):
        return {without(secrets, key): without(secrets, item) for key, item in value.items()}
    return value


def settings(options: Namespace, url: str) -> dict[str, str]:
    """Return the function's variables: a real home's settings are taken from the shell."""
    given = {} if options.home is None else os.environ
    taken = {name: value for name, value in given.items() if name.startswith(SETTING)}
    pure = {"THRIFTGATE_PURE": "1"} if options.pure else {}
    return {**taken, "HOME_ASSISTANT_URL": url, **pure}


def light_in(answer: Any, preferred: str) -> str | None:
    """Return the id of a light in a Discovery's answer: the preferred one, or the first."""
    try:
        endpoints = answer["event"]["payload"]["endpoints"]
    except (KeyError, TypeError):
        return None
    lights = [
        str(endpoint["endpointId"])
        for endpoint in endpoints
        if "LIGHT" in (endpoint.get("displayCategories") or ())
    ]
    return preferred if preferred in lights else next(iter(lights), None)


def name_of(event: Any) -> str:
    """Return what an event is called: ``<namespace>/<name>`` for a directive."""
    try:
        header = event["directive"]["header"]
        return f"{header['namespace']}/{header['name']}"
    except (KeyError, TypeError):
        return "event"


def send_all(options: Namespace, send: Callable[[Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """Send the events asked for, or else Discovery and TurnOn of a light that it found."""
    if options.events:
        return [send(event) for event in options.events]
    discovery = json.loads((EVENTS / "alexa-discovery.json").read_text(encoding="utf-8"))
    turn_on = json.loads((EVENTS / "alexa-turn-on.json").read_text(encoding="utf-8"))
    endpoint = turn_on["directive"]["endpoint"]
    invocations = [send(discovery)]
    endpoint["endpointId"] = light_in(invocations[0]["response"], endpoint["endpointId"])
    if endpoint["endpointId"] is not None:
        invocations.append(send(turn_on))
    return invocations


def invoke(runtime: LocalRuntime, event: Any, token: str) -> dict[str, Any]:
    """Send one event and return what the JSON document says about it."""
    result = runtime.invoke(with_token(event, token))
    try:
        response = result.json()
    except ValueError:
        response = result.payload.decode(errors="replace")
    return {
        "event": name_of(event),
        "response": response,
        "init_ms": round(result.init_ms, 1),
        "duration_ms": round(result.duration_ms, 1),
        "billed_ms": result.billed_ms,
        "logs": [parsed(line) for line in result.logs],
    }


def redacted(invocation: dict[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """Return what may be shown of *invocation*: Home Assistant echoes the token in its answer."""
    received = {name: invocation[name] for name in ("event", "response", "logs")}
    return invocation | {name: without(secrets, value) for name, value in received.items()}


def parsed(line: str) -> Any:
    """Return a log line as the object that it is, or as text."""
    try:
        return json.loads(line)
    except ValueError:
        return line


def summary(response: Any) -> str:
    """Return an answer in a line or two."""
    try:
        event = response["event"]
        header, payload = event["header"], event["payload"]
    except (KeyError, TypeError):
        return json.dumps(response)[:500]
    if "endpoints" in payload:
        names = [f"{it['friendlyName']} ({it['endpointId']})" for it in payload["endpoints"]]
        return f"{len(names)} endpoints: {', '.join(names)}"
    answer = f"{header['namespace']}.{header['name']}"
    if header["name"] == ERROR:
        return f"{answer}: {payload['type']}, {payload['message']}"
    properties = response.get("context", {}).get("properties", ())
    states = ", ".join(f"{it['name']} {plain(it['value'])}" for it in properties)
    return f"{answer}: {states}" if states else answer


def plain(value: Any) -> str:
    """Return a property's value as text, without the braces of a JSON object."""
    if isinstance(value, dict):
        return " ".join(plain(item) for item in value.values())
    return str(value)


def show(invocation: dict[str, Any]) -> None:
    """Print one invocation for a reader."""
    cold = invocation["init_ms"] > 0
    cost = estimate_cost(
        invocation["duration_ms"], init_ms=invocation["init_ms"], memory_mb=MEMORY_MB
    )
    times = f"invoke {invocation['duration_ms']} ms, billed {invocation['billed_ms']} ms"
    if cold:
        times = f"init {invocation['init_ms']} ms, {times}"
    print(f"{invocation['event']}  ({'cold' if cold else 'warm'})")
    print(f"  answer  {summary(invocation['response'])}")
    print(f"  times   {times} at {MEMORY_MB} MB")
    print(
        f"  cost    ${cost['usd']:.9f} before the free tier ({cost['architecture']}, "
        f"prices of {cost['prices_as_of']})"
    )
    for line in invocation["logs"]:
        text = json.dumps(line) if isinstance(line, dict) else str(line).replace("\r", "\n    ")
        print(f"  log     {text}")
    print(flush=True)


def is_answered(invocation: dict[str, Any]) -> bool:
    """Tell whether the answer is one of a home, and not an error."""
    try:
        response = invocation["response"]
        event = response["event"]
        name = event["header"]["name"]
        if name == "StateReport" and is_unreachable(response):
            return False
        return bool(name != ERROR and event["payload"].get("endpoints") != [])
    except (KeyError, TypeError, AttributeError):
        return False


def is_unreachable(report: Any) -> bool:
    """Tell whether a StateReport is the bridge's own, which says only that the home is down.

    Home Assistant says the same of a device that it cannot reach, and echoes the scope.
    """
    health = [(it["namespace"], it["name"], it["value"]) for it in report["context"]["properties"]]
    down = [("Alexa.EndpointHealth", "connectivity", {"value": "UNREACHABLE"})]
    return health == down and "scope" not in report["event"]["endpoint"]


def perform(options: Namespace) -> int:
    """Run the events that *options* ask for; return 0 when the home answered all of them."""
    try:
        return _perform(options)
    except GatewayError as problem:
        sys.stderr.write(f"dev.py run: {problem}\n")
        return 1


def _perform(options: Namespace) -> int:
    if options.pure:
        os.environ["THRIFTGATE_PURE"] = "1"
    path = "pure" if options.pure else get_gateway_stats()["path"]
    task = lay_out(TASK, PACKAGES, pure=path == "pure")
    with home(options) as (name, url, token):
        environment = settings(options, url)
        secrets = [it for it in (token, environment.get("HOME_ASSISTANT_TOKEN")) if it]
        with LocalRuntime(
            task.root,
            "ha_extension.lambda_handler",
            timeout=TIMEOUT,
            memory_mb=MEMORY_MB,
            environment=environment,
            client=options.client,
        ) as runtime:
            if not options.json:
                print(
                    f"Alexa -> {runtime.client} on CPython {platform.python_version()}, "
                    f"{path} path -> {name} at {without(secrets, url)}\n"
                )

            def send(event: Any) -> dict[str, Any]:
                invocation = invoke(runtime, event, token)
                if not options.json:
                    show(redacted(invocation, secrets))
                return invocation

            invocations = send_all(options, send)
    if options.json:
        shown = [redacted(invocation, secrets) for invocation in invocations]
        print(json.dumps({"path": path, "invocations": shown}, indent=2))
    elif not options.events and len(invocations) == 1:
        print("No light was discovered, so nothing was turned on.")
    return 0 if invocations and all(map(is_answered, invocations)) else 1
