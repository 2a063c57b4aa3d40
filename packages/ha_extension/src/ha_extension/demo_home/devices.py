"""The devices of the demo home, as data.

They are a part of the home that Home Assistant's `demo` integration makes, under the same names,
so that answers can be held against recorded ones. A device's state has Home Assistant's own keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VERSION = "2025.4.4"  # the release that the demo home answers like

Json = dict[str, Any]  # a value's type depends on its key


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device: what Discovery says about it, and the state that it starts in."""

    entity_id: str
    name: str
    category: str
    capabilities: tuple[Json, ...]
    state: Json = field(default_factory=dict)
    description: str = ""

    @property
    def domain(self) -> str:
        """Return the kind of device: the part of the entity id before the dot."""
        return self.entity_id.partition(".")[0]


def _interface(name: str, *properties: str, instance: str = "", **more: object) -> Json:
    """Describe a capability, with the keys in the order in which Home Assistant writes them."""
    capability: Json = {"type": "AlexaInterface", "interface": name, "version": "3"}
    if instance:
        capability["instance"] = instance
    if properties:
        capability["properties"] = {
            "supported": [{"name": each} for each in properties],
            "proactivelyReported": True,
            "retrievable": True,
        }
    if instance:
        capability["properties"]["nonControllable"] = False
    return capability | more


def _text(text: str) -> Json:
    return {"@type": "text", "value": {"text": text, "locale": "en-US"}}


def _asset(asset: str) -> Json:
    return {"@type": "asset", "value": {"assetId": f"Alexa.{asset}"}}


def _names(*names: Json) -> Json:
    return {"friendlyNames": list(names)}


def _mode(value: str, *names: Json) -> Json:
    return {"value": value, "modeResources": _names(*names)}


def _action(directive: str, payload: Json, *actions: str) -> Json:
    return {
        "@type": "ActionsToDirective",
        "actions": [f"Alexa.Actions.{action}" for action in actions],
        "directive": {"name": directive, "payload": payload},
    }


def _state(state: str, value: str) -> Json:
    return {"@type": "StatesToValue", "states": [f"Alexa.States.{state}"], "value": value}


def _thermostat(setpoints: tuple[str, ...], modes: str) -> tuple[Json, ...]:
    return (
        _POWER,
        _interface(
            "Alexa.ThermostatController",
            "thermostatMode",
            *setpoints,
            configuration={"supportsScheduling": False, "supportedModes": modes.split()},
        ),
        _TEMPERATURE,
        *_ALWAYS,
    )


_ALWAYS = (_interface("Alexa.EndpointHealth", "connectivity"), _interface("Alexa"))
_POWER = _interface("Alexa.PowerController", "powerState")
_BRIGHTNESS = _interface("Alexa.BrightnessController", "brightness")
_TEMPERATURE = _interface("Alexa.TemperatureSensor", "temperature")

_COLOR_LIGHT = (
    _POWER,
    _BRIGHTNESS,
    _interface("Alexa.ColorController", "color"),
    _interface("Alexa.ColorTemperatureController", "colorTemperatureInKelvin"),
    *_ALWAYS,
)
_SWITCH = (_POWER, _interface("Alexa.ContactSensor", "detectionState"), *_ALWAYS)
_LOCK = (_interface("Alexa.LockController", "lockState"), *_ALWAYS)
_COVER = (
    _interface(
        "Alexa.ModeController",
        "mode",
        instance="cover.position",
        capabilityResources=_names(_text("Position"), _asset("Setting.Opening")),
        configuration={
            "ordered": False,
            "supportedModes": [
                _mode("position.open", _asset("Value.Open")),
                _mode("position.closed", _asset("Value.Close")),
                _mode("position.custom", _text("Custom"), _asset("Setting.Preset")),
            ],
        },
        semantics={
            "actionMappings": [
                _action("SetMode", {"mode": "position.closed"}, "Lower", "Close"),
                _action("SetMode", {"mode": "position.open"}, "Raise", "Open"),
            ],
            "stateMappings": [
                _state("Closed", "position.closed"),
                _state("Open", "position.open"),
            ],
        },
    ),
    *_ALWAYS,
)
_FAN = (
    _POWER,
    _interface(
        "Alexa.ToggleController",
        "toggleState",
        instance="fan.oscillating",
        capabilityResources=_names(_asset("Setting.Oscillate"), _text("Rotate"), _text("Rotation")),
    ),
    _interface(
        "Alexa.ModeController",
        "mode",
        instance="fan.direction",
        capabilityResources=_names(_asset("Setting.Direction")),
        configuration={
            "ordered": False,
            "supportedModes": [
                _mode("direction.forward", _text("forward")),
                _mode("direction.reverse", _text("reverse")),
            ],
        },
    ),
    _interface(
        "Alexa.RangeController",
        "rangeValue",
        instance="fan.percentage",
        capabilityResources=_names(_text("Percentage"), _asset("Setting.FanSpeed")),
        configuration={
            "supportedRange": {"minimumValue": 0, "maximumValue": 100, "precision": 1},
            "unitOfMeasure": "Alexa.Unit.Percent",
        },
        semantics={
            "actionMappings": [
                _action("SetRangeValue", {"rangeValue": 0}, "Lower"),
                _action("SetRangeValue", {"rangeValue": 100}, "Raise"),
            ]
        },
    ),
    *_ALWAYS,
)


def _color_light(entity_id: str, name: str, description: str = "", **state: object) -> Device:
    """Make a light that can do colours and shades of white (2000 to 6535 K)."""
    return Device(
        entity_id=entity_id,
        name=name,
        description=description,
        category="LIGHT",
        capabilities=_COLOR_LIGHT,
        state={
            "state": "on",
            "brightness": 180,
            "color_mode": "color_temp",
            "hs_color": None,
            "color_temp_kelvin": 2631,
            "min_color_temp_kelvin": 2000,
            "max_color_temp_kelvin": 6535,
            **state,
        },
    )


def _climate(entity_id: str, name: str, capabilities: tuple[Json, ...], **state: object) -> Device:
    return Device(
        entity_id=entity_id,
        name=name,
        category="THERMOSTAT",
        capabilities=capabilities,
        state={
            "min_temp": 7,
            "max_temp": 35,
            "temperature": None,
            "target_temp_low": None,
            "target_temp_high": None,
            "preset_mode": None,
            "preset_modes": [],
            **state,
        },
    )


DEVICES = (
    Device(
        entity_id="scene.movie_night",
        name="Movie night",
        category="SCENE_TRIGGER",
        capabilities=(
            _interface("Alexa.SceneController", supportsDeactivation=False),
            _interface("Alexa"),
        ),
        state={"state": "on", "does": ("light.turn_off", "light.kitchen_lights")},
    ),
    Device(
        entity_id="script.good_morning",
        name="Good morning",
        category="ACTIVITY_TRIGGER",
        capabilities=(
            _interface("Alexa.SceneController", supportsDeactivation=True),
            _interface("Alexa"),
        ),
        state={"state": "off", "does": ("light.turn_on", "light.kitchen_lights")},
    ),
    Device(
        entity_id="input_boolean.guest_mode",
        name="Guest mode",
        category="OTHER",
        capabilities=_SWITCH,
        state={"state": "off"},
    ),
    Device(
        entity_id="light.offline_lamp",
        name="Offline lamp",
        category="LIGHT",
        capabilities=(_POWER, _BRIGHTNESS, *_ALWAYS),
        state={"state": "unavailable"},
    ),
    _climate(
        "climate.heatpump",
        "HeatPump",
        _thermostat(("targetSetpoint",), "HEAT OFF"),
        state="heat",
        hvac_modes=["heat", "off"],
        current_temperature=25.0,
        temperature=20.0,
    ),
    _climate(
        "climate.hvac",
        "Hvac",
        _thermostat(
            ("lowerSetpoint", "upperSetpoint", "targetSetpoint"),
            "OFF HEAT COOL AUTO CUSTOM CUSTOM",
        ),
        state="cool",
        hvac_modes=["off", "heat", "cool", "auto", "dry", "fan_only"],
        current_temperature=22,
        temperature=21.0,
    ),
    _climate(
        "climate.ecobee",
        "Ecobee",
        _thermostat(("lowerSetpoint", "upperSetpoint"), "OFF COOL AUTO AUTO CUSTOM CUSTOM ECO"),
        state="heat_cool",
        hvac_modes=["off", "cool", "heat_cool", "auto", "dry", "fan_only"],
        current_temperature=23,
        target_temp_low=21,
        target_temp_high=24,
        preset_mode="home",
        preset_modes=["home", "eco", "away"],
    ),
    Device(
        entity_id="cover.garage_door",
        name="Garage Door",
        category="GARAGE_DOOR",
        capabilities=_COVER,
        state={"state": "closed"},
    ),
    Device(
        entity_id="fan.living_room_fan",
        name="Living Room Fan",
        category="FAN",
        capabilities=_FAN,
        state={
            "state": "off",
            "percentage": None,
            "percentage_step": 100 / 3,
            "oscillating": False,
            "direction": "forward",
        },
    ),
    _color_light("light.bed_light", "Bed Light", state="off"),
    _color_light("light.ceiling_lights", "Ceiling Lights"),
    _color_light(
        "light.kitchen_lights",
        "Kitchen Lights",
        "Ceiling lights",
        color_mode="hs",
        hs_color=(345, 75),
    ),
    Device(
        entity_id="lock.front_door",
        name="Front Door",
        category="SMARTLOCK",
        capabilities=_LOCK,
        state={"state": "locked"},
    ),
    Device(
        entity_id="lock.kitchen_door",
        name="Kitchen Door",
        category="SMARTLOCK",
        capabilities=_LOCK,
        state={"state": "unlocked"},
    ),
    Device(
        entity_id="sensor.outside_temperature",
        name="Outside Temperature",
        category="TEMPERATURE_SENSOR",
        capabilities=(_TEMPERATURE, *_ALWAYS),
        state={"state": "15.6", "current_temperature": 15.6},
    ),
    Device(
        entity_id="switch.decorative_lights",
        name="Decorative Lights",
        category="SWITCH",
        capabilities=_SWITCH,
        state={"state": "on"},
    ),
    Device(
        entity_id="switch.ac",
        name="AC",
        category="SMARTPLUG",
        capabilities=_SWITCH,
        state={"state": "off"},
    ),
)
