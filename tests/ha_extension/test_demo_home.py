"""The model of the demo home, where the recorded pairs say nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_extension.demo_home import directives
from ha_extension.demo_home.home import Home, MalformedMessageError

LIGHT = "light#kitchen_lights"
FAN = "fan#living_room_fan"
COVER = "cover#garage_door"
HVAC = "climate#hvac"
ECOBEE = "climate#ecobee"

UNKNOWN = ("INTERNAL_ERROR", "Unknown error")
NOT_SUPPORTED = ("INVALID_DIRECTIVE", "Entity does not support directive")


@pytest.fixture
def home() -> Home:
    return Home(now=lambda: 1_700_000_000.9)


def message(interface: str, name: str, endpoint: object = None, **more: Any) -> dict[str, Any]:
    namespace = f"Alexa.{interface}" if interface else "Alexa"
    header = {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": "1"}
    if "instance" in more:
        header["instance"] = more.pop("instance")
    directive: dict[str, Any] = {"header": header, "payload": more}
    if endpoint is not None:
        directive["endpoint"] = {"endpointId": endpoint}
    return {"directive": directive}


def error(answer: dict[str, Any]) -> tuple[str, str]:
    assert answer["event"]["header"]["namespace"] == "Alexa"
    assert answer["event"]["header"]["name"] == "ErrorResponse"
    assert "context" not in answer
    payload = answer["event"]["payload"]
    assert payload.keys() == {"type", "message"}
    return payload["type"], payload["message"]


def properties(answer: dict[str, Any]) -> dict[str, Any]:
    found = answer["context"]["properties"]
    values = {each["name"]: each["value"] for each in found}
    assert len(values) == len(found)
    return values


def state(home: Home, endpoint: str) -> dict[str, Any]:
    return properties(home.handle(message("", "ReportState", endpoint)))


def test_a_command_shows_in_the_next_report_and_not_in_its_own_answer(home: Home) -> None:
    answer = home.handle(message("PowerController", "TurnOff", LIGHT))
    assert properties(answer)["powerState"] == "ON"
    assert state(home, LIGHT)["powerState"] == "OFF"
    home.handle(message("PowerController", "TurnOn", LIGHT))
    assert state(home, LIGHT)["powerState"] == "ON"


def test_homes_do_not_share_state(home: Home) -> None:
    home.handle(message("PowerController", "TurnOff", LIGHT))
    assert state(Home(), LIGHT)["powerState"] == "ON"


def test_times_come_from_the_clock(home: Home) -> None:
    answer = home.handle(message("", "ReportState", LIGHT))
    times = {each["timeOfSample"] for each in answer["context"]["properties"]}
    assert times == {"2023-11-14T22:13:20Z"}


def test_every_answer_has_a_message_id_of_its_own(home: Home) -> None:
    asked = message("", "ReportState", LIGHT)
    ids = {home.handle(asked)["event"]["header"]["messageId"] for _ in range(3)}
    assert len(ids) == 3


def test_an_empty_correlation_token_is_left_out(home: Home) -> None:
    asked = message("", "ReportState", LIGHT)
    asked["directive"]["header"]["correlationToken"] = ""
    assert "correlationToken" not in home.handle(asked)["event"]["header"]


def test_the_endpoint_comes_back_as_it_was_sent(home: Home) -> None:
    asked = message("", "ReportState", "light.kitchen_lights")
    asked["directive"]["endpoint"] |= {"cookie": {"a": "b"}, "scope": {"token": "t"}}
    assert home.handle(asked)["event"]["endpoint"] == asked["directive"]["endpoint"]


@pytest.mark.parametrize(
    ("endpoint", "on", "off"),
    [
        ("switch#ac", "ON", "OFF"),
        ("input_boolean#guest_mode", "ON", "OFF"),
        (FAN, "ON", "OFF"),
        (HVAC, "ON", "OFF"),
    ],
)
def test_power(home: Home, endpoint: str, on: str, off: str) -> None:
    home.handle(message("PowerController", "TurnOff", endpoint))
    assert state(home, endpoint)["powerState"] == off
    home.handle(message("PowerController", "TurnOn", endpoint))
    assert state(home, endpoint)["powerState"] == on


def test_a_switch_reports_contact(home: Home) -> None:
    assert state(home, "switch#decorative_lights")["detectionState"] == "DETECTED"
    assert state(home, "switch#ac")["detectionState"] == "NOT_DETECTED"


@pytest.mark.parametrize(
    ("endpoint", "mode"),
    [("climate#heatpump", "HEAT"), (HVAC, "HEAT"), (ECOBEE, "AUTO")],
)
def test_turning_a_thermostat_on_picks_its_widest_mode(
    home: Home, endpoint: str, mode: str
) -> None:
    home.handle(message("PowerController", "TurnOff", endpoint))
    assert state(home, endpoint)["thermostatMode"] == "OFF"
    home.handle(message("PowerController", "TurnOn", endpoint))
    assert state(home, endpoint)["thermostatMode"] == mode


@pytest.mark.parametrize(
    ("brightness", "shown"), [(0, 0), (1, 1), (37, 37), (100, 100), ("50", 50)]
)
def test_set_brightness(home: Home, brightness: object, shown: int) -> None:
    home.handle(message("BrightnessController", "SetBrightness", LIGHT, brightness=brightness))
    reported = state(home, LIGHT)
    assert reported["brightness"] == shown
    assert reported["powerState"] == ("ON" if shown else "OFF")


@pytest.mark.parametrize(("delta", "shown"), [(-100, 0), (-11, 60), (10, 81), (250, 100)])
def test_adjust_brightness_stops_at_the_ends(home: Home, delta: int, shown: int) -> None:
    home.handle(message("BrightnessController", "AdjustBrightness", LIGHT, brightnessDelta=delta))
    assert state(home, LIGHT)["brightness"] == shown


def test_adjust_brightness_of_a_light_that_is_off_starts_from_nothing(home: Home) -> None:
    home.handle(message("PowerController", "TurnOff", LIGHT))
    home.handle(message("BrightnessController", "AdjustBrightness", LIGHT, brightnessDelta=20))
    assert state(home, LIGHT)["brightness"] == 20


def test_a_colour_replaces_a_white(home: Home) -> None:
    color = {"hue": 201, "saturation": 0.43, "brightness": 0.81}
    assert state(home, "light#ceiling_lights")["colorTemperatureInKelvin"] == 2631
    home.handle(message("ColorController", "SetColor", "light#ceiling_lights", color=color))
    reported = state(home, "light#ceiling_lights")
    assert reported["color"] == {
        "hue": 200.899,
        "saturation": 0.43204,
        "brightness": 180 / 255,
    }
    assert "colorTemperatureInKelvin" not in reported


@pytest.mark.parametrize(
    ("kelvin", "hue", "saturation", "shown"),
    [
        (900, 15.981, 100, 900),  # as red as it gets
        (2000, 30.601, 94.547, 2000),
        (3456, 27.218, 45.738, 3460),
        (6600, 0, 0, 6622),
        (9000, 222.461, 17.81, 9009),
    ],
)
def test_a_white_is_also_reported_as_a_colour(
    home: Home, kelvin: int, hue: float, saturation: float, shown: int
) -> None:
    whites = message(
        "ColorTemperatureController",
        "SetColorTemperature",
        LIGHT,
        colorTemperatureInKelvin=kelvin,
    )
    home.handle(whites)
    reported = state(home, LIGHT)
    assert reported["color"]["hue"] == hue
    assert reported["color"]["saturation"] == saturation / 100
    assert reported["colorTemperatureInKelvin"] == shown


def test_colour_temperature_moves_in_steps_within_the_range_of_the_light(home: Home) -> None:
    light = "light#ceiling_lights"
    seen = []
    for name in ["DecreaseColorTemperature"] * 3 + ["IncreaseColorTemperature"] * 2:
        home.handle(message("ColorTemperatureController", name, light))
        seen.append(state(home, light)["colorTemperatureInKelvin"])
    assert seen == [2132, 2000, 2000, 2500, 3003]


@pytest.mark.parametrize("endpoint", [LIGHT, "light#bed_light"])
def test_a_light_without_a_white_at_the_moment_cannot_shift_it(home: Home, endpoint: str) -> None:
    asked = message("ColorTemperatureController", "IncreaseColorTemperature", endpoint)
    assert error(home.handle(asked)) == UNKNOWN


def test_locks(home: Home) -> None:
    home.handle(message("LockController", "Unlock", "lock#front_door"))
    assert state(home, "lock#front_door")["lockState"] == "UNLOCKED"
    home.handle(message("LockController", "Lock", "lock#front_door"))
    assert state(home, "lock#front_door")["lockState"] == "LOCKED"


def test_scene_and_script_act_on_the_kitchen(home: Home) -> None:
    home.handle(message("SceneController", "Activate", "scene#movie_night"))
    assert state(home, LIGHT)["powerState"] == "OFF"
    home.handle(message("SceneController", "Activate", "script#good_morning"))
    assert state(home, LIGHT)["powerState"] == "ON"


def test_a_script_can_be_deactivated_and_a_scene_cannot(home: Home) -> None:
    answer = home.handle(message("SceneController", "Deactivate", "script#good_morning"))
    assert answer["event"]["header"]["name"] == "DeactivationStarted"
    assert answer["event"]["payload"] == {
        "cause": {"type": "VOICE_INTERACTION"},
        "timestamp": "2023-11-14T22:13:20Z",
    }
    asked = message("SceneController", "Deactivate", "scene#movie_night")
    assert error(home.handle(asked)) == UNKNOWN


def test_an_unavailable_device_stays_as_it_is(home: Home) -> None:
    answer = home.handle(message("PowerController", "TurnOff", "light#offline_lamp"))
    assert properties(answer)["connectivity"] == {"value": "UNREACHABLE"}
    assert state(home, "light#offline_lamp")["powerState"] == "ON"


def test_fan_speed(home: Home) -> None:
    assert "rangeValue" not in state(home, FAN)
    home.handle(message("PowerController", "TurnOn", FAN))
    assert state(home, FAN)["rangeValue"] == 67
    speed = {"endpoint": FAN, "instance": "fan.percentage"}
    home.handle(message("RangeController", "SetRangeValue", **speed, rangeValue=30))
    assert state(home, FAN)["rangeValue"] == 30
    more = {"rangeValueDelta": 1, "rangeValueDeltaDefault": True}
    answer = home.handle(message("RangeController", "AdjustRangeValue", **speed, **more))
    assert properties(answer)["rangeValue"] == 63
    less = {"rangeValueDelta": -90, "rangeValueDeltaDefault": False}
    home.handle(message("RangeController", "AdjustRangeValue", **speed, **less))
    assert state(home, FAN) | {"rangeValue": 0, "powerState": "OFF"} == state(home, FAN)
    answer = home.handle(message("RangeController", "AdjustRangeValue", **speed, **more))
    told = "Unable to determine fan.living_room_fan current fan speed"
    assert error(answer) == ("INVALID_VALUE", told)


def test_fan_direction_and_oscillation(home: Home) -> None:
    turned = message(
        "ModeController", "SetMode", FAN, instance="fan.direction", mode="direction.reverse"
    )
    assert properties(home.handle(turned))["mode"] == "direction.reverse"
    for name, toggled in (("TurnOn", "ON"), ("TurnOff", "OFF")):
        home.handle(message("ToggleController", name, FAN, instance="fan.oscillating"))
        assert state(home, FAN)["toggleState"] == toggled
    assert state(home, FAN)["mode"] == "direction.reverse"


def test_garage_door(home: Home) -> None:
    seen = []
    for mode in ("open", "custom", "closed"):
        asked = message(
            "ModeController", "SetMode", COVER, instance="cover.position", mode=f"position.{mode}"
        )
        home.handle(asked)
        seen.append(state(home, COVER)["mode"])
    assert seen == ["position.open", "position.open", "position.closed"]
    home.handle(message("PowerController", "TurnOn", COVER))
    assert state(home, COVER)["mode"] == "position.open"
    home.handle(message("PowerController", "TurnOff", COVER))
    assert state(home, COVER)["mode"] == "position.closed"


@pytest.mark.parametrize(
    ("setpoint", "degrees"),
    [
        ({"value": 20.5, "scale": "CELSIUS"}, 20.5),
        ({"value": 68, "scale": "FAHRENHEIT"}, 20.0),
        ({"value": 293.15, "scale": "KELVIN"}, 20.0),
    ],
)
def test_set_target_temperature(home: Home, setpoint: object, degrees: float) -> None:
    asked = message("ThermostatController", "SetTargetTemperature", HVAC, targetSetpoint=setpoint)
    answer = home.handle(asked)
    assert properties(answer)["targetSetpoint"] == {"value": degrees, "scale": "CELSIUS"}
    assert state(home, HVAC)["targetSetpoint"] == {"value": degrees, "scale": "CELSIUS"}


@pytest.mark.parametrize(
    ("delta", "low"),
    [
        ({"value": 2, "scale": "CELSIUS"}, 23.0),
        ({"value": 3.6, "scale": "FAHRENHEIT"}, 23.0),
        ({"value": -2, "scale": "KELVIN"}, 19.0),
    ],
)
def test_adjust_moves_both_setpoints_of_a_range(home: Home, delta: object, low: float) -> None:
    asked = message(
        "ThermostatController", "AdjustTargetTemperature", ECOBEE, targetSetpointDelta=delta
    )
    names = [each["name"] for each in home.handle(asked)["context"]["properties"]]
    assert names[:2] == ["upperSetpoint", "lowerSetpoint"]
    assert state(home, ECOBEE)["lowerSetpoint"] == {"value": low, "scale": "CELSIUS"}
    assert state(home, ECOBEE)["upperSetpoint"] == {"value": low + 3, "scale": "CELSIUS"}


def test_set_a_range(home: Home) -> None:
    low, high = {"value": 18, "scale": "CELSIUS"}, {"value": 25, "scale": "CELSIUS"}
    for setpoints in ({"lowerSetpoint": low, "upperSetpoint": high}, {"targetSetpoint": low}):
        home.handle(message("ThermostatController", "SetTargetTemperature", ECOBEE, **setpoints))
        reported = state(home, ECOBEE)
        assert (reported["lowerSetpoint"], reported["upperSetpoint"]) == (low, high)
        assert "targetSetpoint" not in reported


@pytest.mark.parametrize(
    ("endpoint", "mode", "seen"),
    [
        (HVAC, "HEAT", "HEAT"),
        (HVAC, {"value": "CUSTOM", "customName": "FAN"}, "CUSTOM"),
        (HVAC, {"value": "CUSTOM", "customName": "DEHUMIDIFY"}, "CUSTOM"),
        (ECOBEE, {"value": "ECO"}, "ECO"),
    ],
)
def test_set_thermostat_mode(home: Home, endpoint: str, mode: object, seen: str) -> None:
    asked = message("ThermostatController", "SetThermostatMode", endpoint, thermostatMode=mode)
    assert properties(home.handle(asked))["thermostatMode"] == seen
    assert state(home, endpoint)["thermostatMode"] == seen


@pytest.mark.parametrize(
    ("endpoint", "mode", "told"),
    [
        (HVAC, "SLEEP", "SLEEP"),
        (HVAC, "ECO", "eco"),
        (HVAC, {"value": "CUSTOM", "customName": "OTHER"}, "CUSTOM: None"),
        ("climate#heatpump", {"value": "CUSTOM", "customName": "FAN"}, "CUSTOM: fan_only"),
        (LIGHT, "HEAT", "HEAT"),
    ],
)
def test_a_thermostat_mode_that_the_device_lacks(
    home: Home, endpoint: str, mode: object, told: str
) -> None:
    asked = message("ThermostatController", "SetThermostatMode", endpoint, thermostatMode=mode)
    told = f"The requested thermostat mode {told} is not supported"
    assert error(home.handle(asked)) == ("UNSUPPORTED_THERMOSTAT_MODE", told)


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        (UNKNOWN, message("PowerController", "TurnOn", "sensor#outside_temperature")),
        (UNKNOWN, message("PowerController", "TurnOn", "lock#front_door")),
        (UNKNOWN, message("PowerController", "TurnOff", "scene#movie_night")),
        (UNKNOWN, message("PowerController", "TurnOn")),
        (UNKNOWN, message("LockController", "Unlock", LIGHT)),
        (UNKNOWN, message("BrightnessController", "SetBrightness", LIGHT, brightness=101)),
        (UNKNOWN, message("BrightnessController", "SetBrightness", LIGHT, brightness="x")),
        (UNKNOWN, message("BrightnessController", "SetBrightness", "switch#ac", brightness=1)),
        (UNKNOWN, message("ThermostatController", "SetTargetTemperature", HVAC)),
        (UNKNOWN, message("ThermostatController", "SetTargetTemperature", LIGHT)),
        (
            UNKNOWN,
            message(
                "ThermostatController",
                "SetThermostatMode",
                HVAC,
                thermostatMode={"value": "CUSTOM"},
            ),
        ),
        (
            UNKNOWN,
            message(
                "ColorTemperatureController",
                "SetColorTemperature",
                LIGHT,
                colorTemperatureInKelvin=0,
            ),
        ),
        (
            UNKNOWN,
            message(
                "RangeController", "SetRangeValue", FAN, instance="fan.percentage", rangeValue=101
            ),
        ),
        (
            UNKNOWN,
            message("ModeController", "SetMode", FAN, instance="fan.direction", mode="direction"),
        ),
        (
            NOT_SUPPORTED,
            message("ModeController", "SetMode", FAN, instance="fan.direction", mode="a.b"),
        ),
        (
            NOT_SUPPORTED,
            message("ModeController", "SetMode", COVER, instance="cover.position", mode="a.b"),
        ),
        (NOT_SUPPORTED, message("ModeController", "SetMode", FAN, mode="direction.forward")),
        (NOT_SUPPORTED, message("ModeController", "AdjustMode", FAN, modeDelta=1)),
        (NOT_SUPPORTED, message("ToggleController", "TurnOn", FAN)),
        (NOT_SUPPORTED, message("RangeController", "SetRangeValue", FAN, rangeValue=1)),
        (
            NOT_SUPPORTED,
            message(
                "RangeController",
                "AdjustRangeValue",
                FAN,
                rangeValueDelta=1,
                rangeValueDeltaDefault=False,
            ),
        ),
        (
            ("NO_SUCH_ENDPOINT", "The endpoint LIGHT#kitchen_lights does not exist"),
            message("NoSuchInterface", "DoSomething", "LIGHT#kitchen_lights"),
        ),
        (("INTERNAL_ERROR", ""), message("NoSuchInterface", "DoSomething")),
        (UNKNOWN, message("Authorization", "AcceptGrant")),
    ],
)
def test_errors_leave_the_home_as_it_was(
    home: Home, expected: tuple[str, str], asked: dict[str, Any]
) -> None:
    assert error(home.handle(asked)) == expected
    for endpoint in (LIGHT, FAN, COVER, HVAC):
        assert state(home, endpoint) == state(Home(), endpoint)


def test_a_report_without_an_endpoint_is_empty(home: Home) -> None:
    answer = home.handle(message("", "ReportState"))
    assert answer["event"]["header"]["name"] == "StateReport"
    assert answer.keys() == {"event"}
    assert answer["event"].keys() == {"header", "payload"}


def test_discovery_about_an_endpoint_also_reports_its_state(home: Home) -> None:
    answer = home.handle(message("Discovery", "Discover", LIGHT))
    assert properties(answer)["powerState"] == "ON"


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        [],
        {},
        {"directive": None},
        {"directive": {"header": {}, "payload": {}}},
        {"directive": {"header": {"payloadVersion": "3", "namespace": "Alexa"}, "payload": {}}},
        {"directive": {"header": message("", "ReportState")["directive"]["header"]}},
        message("", "ReportState", 5),
        message("", "ReportState") | {"directive": {"endpoint": None}},
        {"directive": message("", "ReportState")["directive"] | {"endpoint": "light#x"}},
        {"directive": message("", "ReportState")["directive"] | {"endpoint": {}}},
    ],
)
def test_a_malformed_message_is_refused(home: Home, malformed: object) -> None:
    expected = (
        r'expected {"directive": {"header": ..., "payload": ...}} of payload version 3, '
        "and an endpointId if there is an endpoint"
    )
    with pytest.raises(MalformedMessageError) as caught:
        home.handle(malformed)
    assert str(caught.value) == expected


NAMES = sorted({*directives._HANDLERS, ("Alexa", "ReportState"), ("Alexa.Other", "Do")})
ENDPOINTS = sorted(Home().endpoint_ids())
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from(
    [
        "brightness",
        "brightnessDelta",
        "color",
        "hue",
        "saturation",
        "colorTemperatureInKelvin",
        "targetSetpoint",
        "lowerSetpoint",
        "upperSetpoint",
        "targetSetpointDelta",
        "value",
        "scale",
        "thermostatMode",
        "customName",
        "mode",
        "rangeValue",
        "rangeValueDelta",
        "rangeValueDeltaDefault",
    ]
)
PAYLOADS = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=9
)
INSTANCES = st.sampled_from(
    ["fan.percentage", "fan.direction", "fan.oscillating", "cover.position"]
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.sampled_from(ENDPOINTS) | st.none(), INSTANCES, PAYLOADS
        ),
        max_size=4,
    )
)
def test_whatever_is_asked_there_is_an_answer_and_a_state_to_report(
    asked: list[tuple[tuple[str, str], str | None, str, object]],
) -> None:
    home = Home()
    for (namespace, name), endpoint, instance, payload in asked:
        sent = message("", name, endpoint, instance=instance)
        sent["directive"]["header"]["namespace"] = namespace
        sent["directive"]["payload"] = payload
        assert home.handle(sent)["event"]["header"]["payloadVersion"] == "3"
        if endpoint:
            assert json.loads(json.dumps(home.handle(message("", "ReportState", endpoint))))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["TurnOn", "TurnOff", "SetBrightness"]), st.integers(0, 100))
    )
)
def test_a_light_is_what_was_last_asked_of_it(asked: list[tuple[str, int]]) -> None:
    home, level = Home(), 71
    for name, brightness in asked:
        interface = "BrightnessController" if name == "SetBrightness" else "PowerController"
        home.handle(message(interface, name, LIGHT, brightness=brightness))
        is_on = {"TurnOn": True, "TurnOff": False, "SetBrightness": brightness > 0}[name]
        level = brightness if name == "SetBrightness" and brightness else level
        reported = state(home, LIGHT)
        assert reported["powerState"] == ("ON" if is_on else "OFF")
        assert reported["brightness"] == (level if is_on else 0)
