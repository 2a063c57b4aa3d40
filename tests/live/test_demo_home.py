"""Ask the demo home and a real Home Assistant the same, and compare the answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ha_extension.demo_home import DemoHome
from ha_extension.demo_home.devices import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import LiveServer

    Directive = Callable[..., dict[str, Any]]

CHANGING = {"messageId", "timeOfSample", "timestamp"}
CELSIUS = {"scale": "CELSIUS"}

# What is asked of each device: (interface, name, payload); "instance" goes into the header.
LIGHT = [
    ("ColorController", "SetColor", {"color": {"hue": 201, "saturation": 0.4, "brightness": 0.8}}),
    ("BrightnessController", "AdjustBrightness", {"brightnessDelta": -11}),
    ("ColorTemperatureController", "IncreaseColorTemperature", {}),
    ("ColorTemperatureController", "SetColorTemperature", {"colorTemperatureInKelvin": 3456}),
    ("ColorTemperatureController", "IncreaseColorTemperature", {}),
    ("ColorTemperatureController", "DecreaseColorTemperature", {}),
    ("ColorTemperatureController", "SetColorTemperature", {"colorTemperatureInKelvin": -1}),
    ("BrightnessController", "SetBrightness", {}),
    ("BrightnessController", "SetBrightness", {"brightness": 101}),
    ("BrightnessController", "SetBrightness", {"brightness": "x"}),
    ("ColorController", "SetColor", {"color": {"hue": 0, "saturation": 0, "brightness": 1}}),
    ("BrightnessController", "SetBrightness", {"brightness": 0}),
    ("BrightnessController", "AdjustBrightness", {"brightnessDelta": 30}),
    ("PowerController", "TurnOff", {}),
    ("ColorTemperatureController", "DecreaseColorTemperature", {}),
    ("LockController", "Lock", {}),
    ("NoSuchInterface", "DoSomething", {}),
    ("SceneController", "Activate", {}),
]
SWITCH = [
    ("PowerController", "TurnOn", {}),
    ("PowerController", "TurnOff", {}),
    ("BrightnessController", "SetBrightness", {"brightness": 5}),
    ("SceneController", "Activate", {}),
    ("SceneController", "Deactivate", {}),
]
FAN = [
    ("PowerController", "TurnOn", {}),
    ("RangeController", "SetRangeValue", {"rangeValue": 20, "instance": "fan.percentage"}),
    *[
        (
            "RangeController",
            "AdjustRangeValue",
            {
                "rangeValueDelta": delta,
                "rangeValueDeltaDefault": in_steps,
                "instance": "fan.percentage",
            },
        )
        for delta, in_steps in [(7, False), (1, True), (90, False), (-100, False), (5, False)]
    ],
    ("RangeController", "SetRangeValue", {"rangeValue": 101, "instance": "fan.percentage"}),
    ("RangeController", "SetRangeValue", {"rangeValue": 1}),
    ("ModeController", "SetMode", {"mode": "direction.reverse", "instance": "fan.direction"}),
    ("ModeController", "SetMode", {"mode": "direction.up", "instance": "fan.direction"}),
    ("ModeController", "SetMode", {"mode": "direction", "instance": "fan.direction"}),
    ("ModeController", "SetMode", {"mode": "direction.forward", "instance": "fan.direction"}),
    ("ModeController", "AdjustMode", {"modeDelta": 1, "instance": "fan.direction"}),
    ("ToggleController", "TurnOn", {"instance": "fan.oscillating"}),
    ("ToggleController", "TurnOff", {"instance": "fan.oscillating"}),
    ("ToggleController", "TurnOff", {}),
    ("PowerController", "TurnOff", {}),
]
COVER = [
    *[
        ("ModeController", "SetMode", {"mode": f"position.{mode}", "instance": "cover.position"})
        for mode in ("open", "custom", "closed", "other")
    ],
    ("PowerController", "TurnOn", {}),
    ("PowerController", "TurnOff", {}),
]
SENSOR = [("PowerController", "TurnOn", {})]
LOCK = [("LockController", "Unlock", {}), ("LockController", "Lock", {}), *SENSOR]
SCENE = [
    ("SceneController", "Activate", {}),
    ("SceneController", "Deactivate", {}),
    ("PowerController", "TurnOff", {}),
]


def _mode(mode: object) -> tuple[str, str, dict[str, Any]]:
    return ("ThermostatController", "SetThermostatMode", {"thermostatMode": mode})


def _target(**setpoints: float) -> tuple[str, str, dict[str, Any]]:
    payload = {name: {"value": value, **CELSIUS} for name, value in setpoints.items()}
    return ("ThermostatController", "SetTargetTemperature", payload)


def _shift(value: float, scale: str = "CELSIUS") -> tuple[str, str, dict[str, Any]]:
    delta = {"value": value, "scale": scale}
    return ("ThermostatController", "AdjustTargetTemperature", {"targetSetpointDelta": delta})


CLIMATE = [
    _mode("HEAT"),
    _mode({"value": "COOL"}),
    _mode("OFF"),
    _mode("ECO"),
    _mode("SLEEP"),
    _mode({"value": "CUSTOM", "customName": "FAN"}),
    _mode({"value": "CUSTOM", "customName": "OTHER"}),
    _mode({"value": "CUSTOM"}),
    ("PowerController", "TurnOn", {}),
    ("PowerController", "TurnOff", {}),
]
SINGLE = [
    *CLIMATE,
    _target(targetSetpoint=20.5),
    _target(targetSetpoint=36),
    _target(),
    _shift(1.5),
    _shift(-1.8, "FAHRENHEIT"),
    _shift(-20),
    (
        "ThermostatController",
        "SetTargetTemperature",
        {"targetSetpoint": {"value": 70, "scale": "FAHRENHEIT"}},
    ),
    (
        "ThermostatController",
        "SetTargetTemperature",
        {"targetSetpoint": {"value": 293.15, "scale": "KELVIN"}},
    ),
]
RANGE = [
    *CLIMATE,
    _target(lowerSetpoint=19, upperSetpoint=23),
    _target(lowerSetpoint=19, upperSetpoint=40),
    _target(targetSetpoint=20),
    _shift(1),
    _shift(20),
]

SEQUENCES: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "climate#ecobee": RANGE,
    "climate#heatpump": SINGLE,
    "climate#hvac": SINGLE,
    "cover#garage_door": COVER,
    "fan#living_room_fan": FAN,
    "input_boolean#guest_mode": SWITCH,
    "light#bed_light": LIGHT,
    "light#ceiling_lights": LIGHT,
    "light#kitchen_lights": LIGHT,
    "light#offline_lamp": SENSOR,
    "lock#front_door": LOCK,
    "lock#kitchen_door": SENSOR,
    "scene#movie_night": SCENE,
    "script#good_morning": SCENE,
    "sensor#outside_temperature": SENSOR,
    "switch#ac": SWITCH,
    "switch#decorative_lights": SWITCH,
}


# What makes two devices alike that are not from the start, or not any more.
SETTLING: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "climate": [_mode("HEAT"), _target(targetSetpoint=21)],
    "light": [
        ("ColorTemperatureController", "SetColorTemperature", {"colorTemperatureInKelvin": 3000}),
        ("BrightnessController", "SetBrightness", {"brightness": 50}),
    ],
    "switch": [("PowerController", "TurnOff", {})],
}


@pytest.fixture(scope="module")
def demo(version: str) -> Iterator[DemoHome]:
    if version != VERSION:
        pytest.skip(f"the demo home answers as {VERSION} does, and the server is a {version}")
    with DemoHome() as home:
        yield home


@pytest.fixture
def twin(server: LiveServer, demo: DemoHome) -> LiveServer:
    """Return the demo home as a server that the same questions can be put to."""
    return type(server)(demo.url, {"token": demo.token})


def normalised(body: Any) -> str:
    """Return a body as text, the order of keys included, without what differs from run to run."""

    def replace(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: "..." if key in CHANGING else value for key, value in pairs}

    return json.dumps(json.loads(json.dumps(body), object_pairs_hook=replace), indent=1)


def test_every_device_is_asked(demo: DemoHome) -> None:
    assert SEQUENCES.keys() == demo.home.endpoint_ids()


def test_discovery_describes_the_devices_alike(
    server: LiveServer, twin: LiveServer, directive: Directive
) -> None:
    message = directive("Discovery", "Discover")
    described = []
    for each in (server, twin):
        endpoints = each.ask(message).body["event"]["payload"]["endpoints"]
        described.append({device["endpointId"]: normalised(device) for device in endpoints})
    real, ours = described
    assert {endpoint: real[endpoint] for endpoint in ours} == ours


@pytest.mark.parametrize("endpoint", sorted(SEQUENCES))
def test_the_same_directives_get_the_same_answers(
    server: LiveServer, twin: LiveServer, directive: Directive, poll: Any, endpoint: str
) -> None:
    def ask(interface: str, name: str, payload: dict[str, Any]) -> tuple[Any, Any]:
        message = directive(interface, name, endpoint, **payload)
        return server.ask(message), twin.ask(message)

    def settle() -> tuple[str, str]:
        report = directive("", "ReportState", endpoint)
        ours = normalised(twin.ask(report).body)
        return poll(lambda: normalised(server.ask(report).body), ours), ours

    for each in SETTLING.get(endpoint.partition("#")[0], []):
        ask(*each)
    real_state, our_state = settle()
    assert our_state == real_state
    for each in SEQUENCES[endpoint]:
        real, ours = ask(*each)
        assert (ours.status, ours.content_type) == (real.status, real.content_type)
        assert normalised(ours.body) == normalised(real.body), each
        real_state, our_state = settle()
        assert our_state == real_state, each
