"""What a device does when it is told to: Home Assistant's services, named as there.

A service changes the states it is handed. It raises `ValueError` before any change when it does not
take the data, and `KeyError` when the home has no service of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    State = dict[str, Any]  # a value's type depends on its key
    States = dict[str, State]  # by entity id


def call(states: States, service: str, entity_id: str, data: State) -> None:
    """Carry out `service`, "light.turn_on" say, on one entity."""
    run = _SERVICES[service]
    state = states[entity_id]
    if "does" in state and service.endswith(".turn_on"):
        does, other = state["does"]
        call(states, does, other, {})
    elif state["state"] != "unavailable":
        run(state, data)


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        msg = f"expected a value between {low!r} and {high!r}, not {value!r}"
        raise ValueError(msg)
    return value


def _set(**changes: object) -> Callable[[State, State], None]:
    """Make a service that does the same whatever it is told."""
    return lambda state, _data: state.update(changes)


def _keep(state: State, data: State) -> None:
    state.update(data)


def _light_turn_on(state: State, data: State) -> None:
    brightness = state["brightness"]
    if "brightness_pct" in data:
        brightness = round(_within(data["brightness_pct"], 0, 100) * 255 / 100)
    if "brightness_step_pct" in data:
        step = round(min(max(data["brightness_step_pct"], -100), 100) / 100 * 255)
        brightness = min(max((brightness if state["state"] == "on" else 0) + step, 0), 255)
    if "color_temp_kelvin" in data:
        _within(data["color_temp_kelvin"], 1, float("inf"))
    if brightness == 0:
        state["state"] = "off"
        return
    state.update(state="on", brightness=brightness)
    for key, mode in (("hs_color", "hs"), ("color_temp_kelvin", "color_temp")):
        if key in data:
            state.update({key: data[key], "color_mode": mode})


def _fan_set_percentage(state: State, data: State) -> None:
    percentage = _within(data["percentage"], 0, 100)
    state.update(percentage=percentage, state="on" if percentage else "off")


def _climate_turn_on(state: State, _data: State) -> None:
    preferred = ("heat_cool", "heat", "cool")
    state["state"] = next(mode for mode in preferred if mode in state["hvac_modes"])


def _climate_set_temperature(state: State, data: State) -> None:
    if not data:
        msg = "expected a temperature, or a pair of them"
        raise ValueError(msg)
    # A climate device's state has one decimal, whatever was asked for.
    rounded = {key: round(degrees, 1) for key, degrees in data.items()}
    if "temperature" in data and state["temperature"] is not None:
        state["temperature"] = rounded["temperature"]
    if "target_temp_low" in data and "target_temp_high" in data:
        for key in ("target_temp_low", "target_temp_high"):
            state[key] = rounded[key]


_SERVICES: dict[str, Callable[[State, State], None]] = {
    "climate.set_hvac_mode": _keep,
    "climate.set_preset_mode": _keep,
    "climate.set_temperature": _climate_set_temperature,
    "climate.turn_off": _set(state="off"),
    "climate.turn_on": _climate_turn_on,
    "cover.close_cover": _set(state="closed"),
    "cover.open_cover": _set(state="open"),
    "cover.stop_cover": _set(),
    "fan.oscillate": _keep,
    "fan.set_direction": _keep,
    "fan.set_percentage": _fan_set_percentage,
    "fan.turn_off": _set(state="off", percentage=0),
    "fan.turn_on": _set(state="on", percentage=67),
    "input_boolean.turn_off": _set(state="off"),
    "input_boolean.turn_on": _set(state="on"),
    "light.turn_off": _set(state="off"),
    "light.turn_on": _light_turn_on,
    "lock.lock": _set(state="locked"),
    "lock.unlock": _set(state="unlocked"),
    "scene.turn_on": _set(),
    "script.turn_off": _set(),
    "script.turn_on": _set(),
    "switch.turn_off": _set(state="off"),
    "switch.turn_on": _set(state="on"),
}
