"""What each directive asks of a device: a service call, and what the answer says at once.

A handler gets the device's domain, its state, the header's instance and the payload, and returns an
`Outcome`. `DirectiveError` is an answer too. Any other exception is what Home Assistant calls an
unknown error: a value missing in the payload, a device that knows no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ha_extension.demo_home import colors

Json = dict[str, Any]  # a value's type depends on its key

NOT_SUPPORTED = "Entity does not support directive"

# Home Assistant's modes, and what Alexa calls them. Two are called AUTO; the first one found wins.
THERMOSTAT_MODES = {
    "heat": "HEAT",
    "cool": "COOL",
    "heat_cool": "AUTO",
    "auto": "AUTO",
    "off": "OFF",
    "fan_only": "CUSTOM",
    "dry": "CUSTOM",
}
CUSTOM_MODES = {"DEHUMIDIFY": "dry", "FAN": "fan_only"}


class DirectiveError(Exception):
    """An error with a type of Alexa's and a message that Home Assistant gives it."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message, error_type)
        self.message = message
        self.error_type = error_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a directive is about: one device, as it is before anything happens."""

    entity_id: str
    domain: str
    state: Json
    instance: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What comes of a directive: the service to call, and the answer apart from the state."""

    service: str = ""
    data: Json = field(default_factory=dict)
    name: str = "Response"
    namespace: str = "Alexa"
    payload: Json = field(default_factory=dict)
    properties: tuple[Json, ...] = ()
    starts: bool = False  # the payload carries a cause and a time


def handle(namespace: str, name: str, target: Target | None, payload: Json) -> Outcome:
    """Decide what to do about a directive; `target` is None when it names no endpoint."""
    if (namespace, name) == ("Alexa", "ReportState"):
        return Outcome(name="StateReport")
    handler = _HANDLERS.get((namespace, name))
    if handler is None:
        msg = ""
        raise DirectiveError(msg, "INTERNAL_ERROR")
    if target is None:
        msg = f"{namespace}.{name} needs an endpoint"
        raise ValueError(msg)
    return handler(target, payload)


def _turn_on(target: Target, _payload: Json) -> Outcome:
    verb = "open_cover" if target.domain == "cover" else "turn_on"
    return Outcome(service=f"{target.domain}.{verb}")


def _turn_off(target: Target, _payload: Json) -> Outcome:
    verb = "close_cover" if target.domain == "cover" else "turn_off"
    return Outcome(service=f"{target.domain}.{verb}")


def _activate(target: Target, _payload: Json) -> Outcome:
    return Outcome(
        service=f"{target.domain}.turn_on",
        namespace="Alexa.SceneController",
        name="ActivationStarted",
        starts=True,
    )


def _deactivate(target: Target, _payload: Json) -> Outcome:
    return Outcome(
        service=f"{target.domain}.turn_off",
        namespace="Alexa.SceneController",
        name="DeactivationStarted",
        starts=True,
    )


def _light(target: Target, **data: object) -> Outcome:
    if target.domain != "light":
        msg = f"{target.domain}.turn_on takes no {', '.join(data)}"
        raise ValueError(msg)
    return Outcome(service="light.turn_on", data=data)


def _set_brightness(target: Target, payload: Json) -> Outcome:
    return _light(target, brightness_pct=int(payload["brightness"]))


def _adjust_brightness(target: Target, payload: Json) -> Outcome:
    return _light(target, brightness_step_pct=int(payload["brightnessDelta"]))


def _set_color(target: Target, payload: Json) -> Outcome:
    parts = (float(payload["color"][part]) for part in ("hue", "saturation", "brightness"))
    return _light(target, hs_color=colors.from_hsb(*parts))


def _set_color_temperature(target: Target, payload: Json) -> Outcome:
    return _light(target, color_temp_kelvin=int(payload["colorTemperatureInKelvin"]))


def _shift_color_temperature(target: Target, kelvin: int) -> Outcome:
    state = target.state
    if state["state"] != "on" or state["color_mode"] != "color_temp":
        msg = "the light has no colour temperature at the moment"
        raise ValueError(msg)
    low, high = state["min_color_temp_kelvin"], state["max_color_temp_kelvin"]
    shifted = min(max(state["color_temp_kelvin"] + kelvin, low), high)
    return _light(target, color_temp_kelvin=shifted)


def _increase_color_temperature(target: Target, _payload: Json) -> Outcome:
    return _shift_color_temperature(target, 500)


def _decrease_color_temperature(target: Target, _payload: Json) -> Outcome:
    return _shift_color_temperature(target, -500)


def _lock(target: Target, _payload: Json) -> Outcome:
    said = {"name": "lockState", "namespace": "Alexa.LockController", "value": "LOCKED"}
    return Outcome(service=f"{target.domain}.lock", properties=(said,))


def _unlock(target: Target, _payload: Json) -> Outcome:
    said = {"namespace": "Alexa.LockController", "name": "lockState", "value": "UNLOCKED"}
    return Outcome(service=f"{target.domain}.unlock", properties=(said,))


def _celsius(temperature: Json, *, interval: bool = False) -> float:
    value = float(temperature["value"])
    if temperature["scale"] == "FAHRENHEIT":
        return (value if interval else value - 32) / 1.8
    if temperature["scale"] == "KELVIN" and not interval:
        return value - 273.15
    return value


def _thermostat(name: str, value: object) -> Json:
    return {"name": name, "namespace": "Alexa.ThermostatController", "value": value}


def _setpoints(target: Target, *wanted: tuple[str, str, float]) -> Outcome:
    """Set each (Alexa's name, Home Assistant's key, degrees) of a thermostat."""
    state = target.state
    for _, _, degrees in wanted:
        if not state["min_temp"] <= degrees <= state["max_temp"]:
            msg = f"The requested temperature {degrees} is out of range"
            raise DirectiveError(msg, "TEMPERATURE_VALUE_OUT_OF_RANGE")
    return Outcome(
        service="climate.set_temperature",
        data={key: degrees for _, key, degrees in wanted},
        properties=tuple(
            _thermostat(name, {"value": degrees, "scale": "CELSIUS"}) for name, _, degrees in wanted
        ),
    )


def _set_target_temperature(target: Target, payload: Json) -> Outcome:
    keys = {
        "targetSetpoint": "temperature",
        "lowerSetpoint": "target_temp_low",
        "upperSetpoint": "target_temp_high",
    }
    return _setpoints(
        target,
        *((name, key, _celsius(payload[name])) for name, key in keys.items() if name in payload),
    )


def _adjust_target_temperature(target: Target, payload: Json) -> Outcome:
    delta = _celsius(payload["targetSetpointDelta"], interval=True)
    low, high = target.state["target_temp_low"], target.state["target_temp_high"]
    if low is not None and high is not None:
        return _setpoints(
            target,
            ("upperSetpoint", "target_temp_high", high + delta),
            ("lowerSetpoint", "target_temp_low", low + delta),
        )
    return _setpoints(
        target, ("targetSetpoint", "temperature", target.state["temperature"] + delta)
    )


def _set_thermostat_mode(target: Target, payload: Json) -> Outcome:
    wanted = payload["thermostatMode"]
    mode = wanted if isinstance(wanted, str) else wanted["value"]
    key, asked = "state", mode
    if mode == "ECO":
        key, asked = "preset_mode", "eco"
        found = next((each for each in target.state.get("preset_modes", ()) if each == "eco"), None)
    elif mode == "CUSTOM":
        named = CUSTOM_MODES.get(wanted["customName"])
        asked = f"CUSTOM: {named}"
        found = named if named in target.state.get("hvac_modes", ()) else None
    else:
        modes = target.state.get("hvac_modes", ())
        found = next((each for each in modes if THERMOSTAT_MODES[each] == mode), None)
    if found is None:
        msg = f"The requested thermostat mode {asked} is not supported"
        raise DirectiveError(msg, "UNSUPPORTED_THERMOSTAT_MODE")
    service = "climate.set_preset_mode" if mode == "ECO" else "climate.set_hvac_mode"
    said = (_thermostat("thermostatMode", mode),)
    return Outcome(service=service, data={key: found}, properties=said)


def _said(target: Target, interface: str, name: str, value: object) -> tuple[Json]:
    """Say a property of an instance, with the keys in the order of Home Assistant's handlers."""
    return ({"namespace": interface, "instance": target.instance, "name": name, "value": value},)


def _set_mode(target: Target, payload: Json) -> Outcome:
    mode = payload["mode"]
    said = _said(target, "Alexa.ModeController", "mode", mode)
    if target.instance == "fan.direction":
        direction = mode.split(".")[1]
        if direction in {"forward", "reverse"}:
            data = {"direction": direction}
            return Outcome(service=f"{target.domain}.set_direction", data=data, properties=said)
    if target.instance == "cover.position":
        verb = {"open": "open", "closed": "close", "custom": "stop"}.get(mode.split(".")[1])
        if verb:
            return Outcome(service=f"{target.domain}.{verb}_cover", properties=said)
    raise DirectiveError(NOT_SUPPORTED, "INVALID_DIRECTIVE")


def _adjust_mode(_target: Target, _payload: Json) -> Outcome:
    raise DirectiveError(NOT_SUPPORTED, "INVALID_DIRECTIVE")


def _oscillate(target: Target, *, on: bool) -> Outcome:
    if target.instance != "fan.oscillating":
        raise DirectiveError(NOT_SUPPORTED, "INVALID_DIRECTIVE")
    said = _said(target, "Alexa.ToggleController", "toggleState", "ON" if on else "OFF")
    data = {"oscillating": on}
    return Outcome(service=f"{target.domain}.oscillate", data=data, properties=said)


def _toggle_on(target: Target, _payload: Json) -> Outcome:
    return _oscillate(target, on=True)


def _toggle_off(target: Target, _payload: Json) -> Outcome:
    return _oscillate(target, on=False)


def _set_speed(target: Target, percentage: int) -> Outcome:
    said = _said(target, "Alexa.RangeController", "rangeValue", percentage)
    if percentage == 0:
        return Outcome(service=f"{target.domain}.turn_off", properties=said)
    data = {"percentage": percentage}
    return Outcome(service=f"{target.domain}.set_percentage", data=data, properties=said)


def _set_range(target: Target, payload: Json) -> Outcome:
    value = payload["rangeValue"]
    if target.instance != "fan.percentage":
        raise DirectiveError(NOT_SUPPORTED, "INVALID_DIRECTIVE")
    return _set_speed(target, int(value))


def _adjust_range(target: Target, payload: Json) -> Outcome:
    delta, in_steps = payload["rangeValueDelta"], payload["rangeValueDeltaDefault"]
    if target.instance != "fan.percentage":
        raise DirectiveError(NOT_SUPPORTED, "INVALID_DIRECTIVE")
    current = target.state["percentage"]
    if not current:
        msg = f"Unable to determine {target.entity_id} current fan speed"
        raise DirectiveError(msg, "INVALID_VALUE")
    step = target.state["percentage_step"] if in_steps else 1
    return _set_speed(target, min(max(current + int(delta * step), 0), 100))


_HANDLERS = {
    ("Alexa.BrightnessController", "AdjustBrightness"): _adjust_brightness,
    ("Alexa.BrightnessController", "SetBrightness"): _set_brightness,
    ("Alexa.ColorController", "SetColor"): _set_color,
    ("Alexa.ColorTemperatureController", "DecreaseColorTemperature"): _decrease_color_temperature,
    ("Alexa.ColorTemperatureController", "IncreaseColorTemperature"): _increase_color_temperature,
    ("Alexa.ColorTemperatureController", "SetColorTemperature"): _set_color_temperature,
    ("Alexa.LockController", "Lock"): _lock,
    ("Alexa.LockController", "Unlock"): _unlock,
    ("Alexa.ModeController", "AdjustMode"): _adjust_mode,
    ("Alexa.ModeController", "SetMode"): _set_mode,
    ("Alexa.PowerController", "TurnOff"): _turn_off,
    ("Alexa.PowerController", "TurnOn"): _turn_on,
    ("Alexa.RangeController", "AdjustRangeValue"): _adjust_range,
    ("Alexa.RangeController", "SetRangeValue"): _set_range,
    ("Alexa.SceneController", "Activate"): _activate,
    ("Alexa.SceneController", "Deactivate"): _deactivate,
    ("Alexa.ThermostatController", "AdjustTargetTemperature"): _adjust_target_temperature,
    ("Alexa.ThermostatController", "SetTargetTemperature"): _set_target_temperature,
    ("Alexa.ThermostatController", "SetThermostatMode"): _set_thermostat_mode,
    ("Alexa.ToggleController", "TurnOff"): _toggle_off,
    ("Alexa.ToggleController", "TurnOn"): _toggle_on,
}
