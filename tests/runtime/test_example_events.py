"""The example events are directives as Alexa sends them, with a placeholder for the token."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

EVENTS = sorted((Path(__file__).parents[2] / "examples" / "events").glob("alexa-*.json"))
SCOPE = {"type": "BearerToken", "token": "TOKEN"}


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_a_directive_is_complete(path: Path) -> None:
    event = json.loads(path.read_text(encoding="utf-8"))
    assert list(event) == ["directive"]
    directive = event["directive"]
    header = directive["header"]
    assert header["payloadVersion"] == "3"
    assert uuid.UUID(header["messageId"]).version == 4
    if header["name"] == "Discover":
        assert directive["payload"]["scope"] == SCOPE
        assert "endpoint" not in directive
        assert "correlationToken" not in header
    else:
        assert directive["endpoint"]["scope"] == SCOPE
        assert directive["endpoint"]["endpointId"]
        assert header["correlationToken"]


def test_there_is_one_of_each_kind() -> None:
    assert [path.stem for path in EVENTS] == [
        "alexa-discovery",
        "alexa-report-state",
        "alexa-set-brightness",
        "alexa-turn-on",
    ]
