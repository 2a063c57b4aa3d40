"""The demo home: devices with state, and answers to Alexa's messages. Data in, data out."""

from __future__ import annotations

import copy
import math
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ha_extension.demo_home import colors, directives, services
from ha_extension.demo_home.devices import DEVICES, VERSION, Device
from ha_extension.demo_home.directives import DirectiveError, Outcome, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Json = dict[str, Any]  # a value's type depends on its key


class MalformedMessageError(ValueError):
    """A message that Home Assistant does not answer in Alexa's format, but with status 500."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A message of Alexa's, as far as it has to be right to be answered at all."""

    namespace: str
    name: str
    header: Json
    payload: Any  # whatever was sent: a handler finds out
    endpoint: Json | None  # None for Discovery and AcceptGrant

    @classmethod
    def parse(cls, message: object) -> Directive:
        """Read a message; raise `MalformedMessageError` where Home Assistant would fail."""
        match message:
            case {
                "directive": {
                    "header": {
                        "payloadVersion": "3",
                        "namespace": str(namespace),
                        "name": str(name),
                    } as header,
                    "payload": payload,
                    **rest,
                }
            } if "endpoint" not in rest or _is_endpoint(rest["endpoint"]):
                endpoint: Any = rest.get("endpoint")
                return cls(namespace, name, header, payload, endpoint)
        msg = (
            'expected {"directive": {"header": ..., "payload": ...}} of payload version 3, '
            "and an endpointId if there is an endpoint"
        )
        raise MalformedMessageError(msg)


class Home:
    """A home that answers directives the way Home Assistant's smart home API does.

    Like Home Assistant, it answers before its devices have acted: the answer to a command shows
    the state from before it, apart from what the command itself sets. Safe under threads.

    `now` returns seconds since the epoch.
    """

    def __init__(
        self, devices: Iterable[Device] = DEVICES, *, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._devices = {device.entity_id: device for device in devices}
        self._states = {name: copy.deepcopy(each.state) for name, each in self._devices.items()}

    def handle(self, message: object) -> Json:
        """Return the answer to one message of Alexa's, and then do what it asked for.

        Raises `MalformedMessageError` for a message that has no answer in Alexa's format.
        """
        directive = Directive.parse(message)
        with self._lock:
            try:
                return self._answer(directive)
            except DirectiveError as error:
                return self._error(directive, error)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                unknown = DirectiveError("Unknown error", "INTERNAL_ERROR")
                return self._error(directive, unknown)

    def endpoint_ids(self) -> set[str]:
        """Return the ids under which Alexa knows the devices."""
        return {entity_id.replace(".", "#") for entity_id in self._devices}

    def _answer(self, directive: Directive) -> Json:
        device = self._find(directive)
        match directive.namespace, directive.name:
            case "Alexa.Discovery", "Discover":
                found = [_described(each) for each in self._devices.values()]
                outcome = Outcome(
                    namespace="Alexa.Discovery",
                    name="Discover.Response",
                    payload={"endpoints": found},
                )
            case "Alexa.Authorization", "AcceptGrant":
                directive.payload["grant"]["code"]  # a grant without a code is an unknown error
                outcome = Outcome(namespace="Alexa.Authorization", name="AcceptGrant.Response")
            case _:
                target = self._target(directive, device) if device else None
                outcome = directives.handle(
                    directive.namespace, directive.name, target, directive.payload
                )
        answer = self._respond(directive, outcome)
        if device:
            answer["context"] = {"properties": self._properties(device, outcome.properties)}
            if outcome.service:
                services.call(self._states, outcome.service, device.entity_id, outcome.data)
        return answer

    def _find(self, directive: Directive) -> Device | None:
        if directive.endpoint is None:
            return None
        endpoint_id = directive.endpoint["endpointId"]
        device = self._devices.get(endpoint_id.replace("#", "."))
        if device is None:
            msg = f"The endpoint {endpoint_id} does not exist"
            raise DirectiveError(msg, "NO_SUCH_ENDPOINT")
        return device

    def _target(self, directive: Directive, device: Device) -> Target:
        return Target(
            entity_id=device.entity_id,
            domain=device.domain,
            state=self._states[device.entity_id],
            instance=directive.header.get("instance"),
        )

    def _properties(self, device: Device, said: tuple[Json, ...]) -> list[Json]:
        """Return what the command itself says, then what else the device reports."""
        known = {(each["namespace"], each["name"]) for each in said}
        state, now = self._states[device.entity_id], self._timestamp()
        reported = (
            each
            for capability in device.capabilities
            for each in _reported(capability, state, now)
            if (each["namespace"], each["name"]) not in known
        )
        return [*said, *reported]

    def _respond(self, directive: Directive, outcome: Outcome) -> Json:
        header = {
            "namespace": outcome.namespace,
            "name": outcome.name,
            "messageId": str(uuid.uuid4()),
            "payloadVersion": "3",
        }
        if correlation_token := directive.header.get("correlationToken"):
            header["correlationToken"] = correlation_token
        payload = dict(outcome.payload)
        if outcome.starts:
            payload = {"cause": {"type": "VOICE_INTERACTION"}, "timestamp": self._timestamp()}
        event = {"header": header, "payload": payload}
        if directive.endpoint is not None:
            event["endpoint"] = directive.endpoint
        return {"event": event}

    def _error(self, directive: Directive, error: DirectiveError) -> Json:
        payload = {"type": error.error_type, "message": error.message}
        return self._respond(directive, Outcome(name="ErrorResponse", payload=payload))

    def _timestamp(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))


def _is_endpoint(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("endpointId"), str)


def _described(device: Device) -> Json:
    """Return a device as Discovery lists it."""
    return {
        "displayCategories": [device.category],
        "cookie": {},
        "endpointId": device.entity_id.replace(".", "#"),
        "friendlyName": device.name,
        "description": f"{device.description or device.entity_id} via Home Assistant",
        "manufacturerName": "Home Assistant",
        "additionalAttributes": {
            "manufacturer": "Home Assistant",
            "model": device.domain,
            "softwareVersion": VERSION,
            "customIdentifier": f"-{device.entity_id}",
        },
        "capabilities": list(device.capabilities),
    }


def _reported(capability: Json, state: Json, now: str) -> Iterator[Json]:
    """Yield the properties of one capability that have a value at the moment."""
    instance = capability.get("instance")
    for supported in capability.get("properties", {}).get("supported", ()):
        value = _VALUES[supported["name"], instance](state)
        if value is None:
            continue
        reported = {
            "name": supported["name"],
            "namespace": capability["interface"],
            "value": value,
            "timeOfSample": now,
            "uncertaintyInMilliseconds": 0,
        }
        yield reported | {"instance": instance} if instance else reported


def _brightness(state: Json) -> float:
    """Return the brightness from 0 to 255; a light that is off has none."""
    return state["brightness"] if state["state"] == "on" else 0


def _color(state: Json) -> Json:
    hue: float = 0  # a whole number, so that it is written "0", as Home Assistant writes it
    saturation: float = 0
    if state["state"] == "on" and state["color_mode"] == "hs":
        hue, saturation = state["hs_color"]
    elif state["state"] == "on":
        hue, saturation = colors.from_kelvin(state["color_temp_kelvin"])
    return {
        "hue": hue,
        "saturation": saturation / 100,
        "brightness": _brightness(state) / 255,
    }


def _kelvin(state: Json) -> float | None:
    """Return the colour temperature, after a detour over whole mireds that shifts it a little."""
    if state["state"] != "on" or state["color_mode"] != "color_temp":
        return None
    mireds: int = math.floor(1_000_000 / state["color_temp_kelvin"])
    return math.floor(1_000_000 / mireds)


def _thermostat_mode(state: Json) -> str:
    if state["preset_mode"] == "eco":
        return "ECO"
    return directives.THERMOSTAT_MODES[state["state"]]


def _degrees(key: str) -> Callable[[Json], Json | None]:
    def read(state: Json) -> Json | None:
        value = state[key]
        return None if value is None else {"value": float(value), "scale": "CELSIUS"}

    return read


def _health(state: Json) -> Json:
    return {"value": "UNREACHABLE" if state["state"] == "unavailable" else "OK"}


_VALUES: dict[tuple[str, str | None], Callable[[Json], Any]] = {
    ("brightness", None): lambda state: round(_brightness(state) / 255 * 100),
    ("color", None): _color,
    ("colorTemperatureInKelvin", None): _kelvin,
    ("connectivity", None): _health,
    ("detectionState", None): lambda state: (
        "DETECTED" if state["state"] == "on" else "NOT_DETECTED"
    ),
    ("lockState", None): lambda state: state["state"].upper(),
    ("lowerSetpoint", None): _degrees("target_temp_low"),
    ("mode", "cover.position"): lambda state: f"position.{state['state']}",
    ("mode", "fan.direction"): lambda state: f"direction.{state['direction']}",
    ("powerState", None): lambda state: "OFF" if state["state"] == "off" else "ON",
    ("rangeValue", "fan.percentage"): lambda state: state["percentage"],
    ("targetSetpoint", None): _degrees("temperature"),
    ("temperature", None): _degrees("current_temperature"),
    ("thermostatMode", None): _thermostat_mode,
    ("toggleState", "fan.oscillating"): lambda state: "ON" if state["oscillating"] else "OFF",
    ("upperSetpoint", None): _degrees("target_temp_high"),
}
