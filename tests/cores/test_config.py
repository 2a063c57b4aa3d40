"""Settings from the environment: precedence, types, sections and what is told about them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores.config import REDACTED, Config
from cores.errors import ConfigurationError


def make(**environ: str) -> Config:
    return Config(environ=environ)


# One setting


def test_the_environment_wins_over_the_default() -> None:
    config = make(CITY="Oslo")
    assert config.get("CITY", "Bergen") == "Oslo"
    assert config.require("CITY") == "Oslo"


@pytest.mark.parametrize("environ", [{}, {"CITY": ""}, {"CITY": " \t"}])
def test_a_variable_that_is_missing_or_blank_is_not_set(environ: Any) -> None:
    config = make(**environ)
    assert config.get("CITY") is None
    assert config.get("CITY", 3, type=str) == 3
    message = "^CITY is not set: set the environment variable CITY$"
    with pytest.raises(ConfigurationError, match=message):
        config.require("CITY")


def test_a_change_of_the_environment_is_seen() -> None:
    environ: dict[str, str] = {}
    config = Config(environ=environ)
    assert config.get("CITY") is None
    environ["CITY"] = "Oslo"
    assert config.get("CITY") == "Oslo"


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (" as it is\n", None, " as it is\n"),
        (" as it is\n", str, " as it is\n"),
        ("-12", int, -12),
        (" 12 ", "int", 12),
        ("1.5", float, 1.5),
        ("1e3", "float", 1000.0),
        ("True", bool, True),
        ("YES", bool, True),
        ("on ", bool, True),
        ("1", bool, True),
        ("false", bool, False),
        ("no", "bool", False),
        ("Off", bool, False),
        ("0", bool, False),
        ("a, b,,c ", list, ["a", "b", "c"]),
        (",", "list[str]", []),
        ("a", list[str], ["a"]),
        ('{"a": [1]}', dict, {"a": [1]}),
        ("{}", dict[str, int], {}),
        ("[1, null]", "json", [1, None]),
    ],
)
def test_types(text: str, kind: Any, expected: object) -> None:
    value = make(X=text).require("X", type=kind)
    assert value == expected
    assert type(value) is type(expected)
    assert make(X=text).get("X", type=kind) == expected


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("twelve", int, "X must be an integer, not 'twelve'"),
        ("1.5", int, "X must be an integer, not '1.5'"),
        ("nan", float, "X must be a finite number, not 'nan'"),
        ("x", float, "X must be a finite number, not 'x'"),
        ("maybe", bool, "X must be one of true, false, yes, no, on, off, 1, 0, not 'maybe'"),
        ('{"pass": ', "json", "X must be JSON"),
        ("[" * 100_000, "json", "X must be JSON"),
        ("[1]", dict, "X must be a JSON object"),
    ],
)
def test_a_value_of_another_type_is_refused(text: str, kind: Any, message: str) -> None:
    config = make(X=text)
    for read in (config.get, config.require):
        with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$") as caught:
            read("X", type=kind)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["API_KEY", "THE_SECRET", "USER_PIN", "Auth_Header", "PIN"])
def test_a_secret_is_never_in_a_message(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be an integer$"):
        make(**{name: "hunter2"}).get(name, type=int)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(set, "set"), ("list[int]", "list[int]"), (list[int], "list[int]"), (3, "3")],
)
def test_an_unknown_type_is_refused_at_once(kind: Any, text: str) -> None:
    message = (
        f"the type of a setting must be one of str, int, float, bool, list, dict, json, "
        f"not {text!r}"
    )
    for read in (make().get, make().require):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            read("X", type=kind)


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_name_is_text(name: Any) -> None:
    message = f"^the name of a setting must be a text that is not empty, not {name!r}$"
    with pytest.raises(TypeError, match=message):
        make().get(name)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_numbers_survive_the_way_through_the_environment(value: Any) -> None:
    assert make(X=str(value)).require("X", type=type(value)) == value


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_json_survives_the_way_through_the_environment(value: Any) -> None:
    assert make(X=json.dumps(value)).require("X", type=dict) == value


# Sections


class Base:
    url: str


class Home(Base):
    version: ClassVar[int] = 1
    _private: int
    timeout: float = 5.0
    verify: bool = True
    areas: list[str] | None
    extra: dict[str, int] = {"a": 1}  # noqa: RUF012  a default like any other
    port: Optional[int] = None  # noqa: UP045  the older spelling


def test_a_section_is_filled_by_its_annotations() -> None:
    home = make(
        HOME_URL="https://home.example", HOME_TIMEOUT="2.5", HOME_VERIFY="no", HOME_PORT="8123"
    ).section(Home, prefix="HOME_")
    assert isinstance(home, Home)
    assert vars(home) == {
        "url": "https://home.example",
        "timeout": 2.5,
        "verify": False,
        "areas": None,
        "extra": {"a": 1},
        "port": 8123,
    }


def test_a_section_lists_all_problems_at_once() -> None:
    message = (
        "settings of Home are missing or wrong: URL is not set; "
        "TIMEOUT must be a finite number, not 'soon'; VERIFY must be one of true, false, yes, "
        "no, on, off, 1, 0, not 'perhaps'"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        make(TIMEOUT="soon", VERIFY="perhaps").section(Home)


@dataclass(frozen=True, slots=True)
class Store:
    table: str
    size: int = 10
    tags: list[str] = field(default_factory=lambda: ["a"])
    used: int = field(default=0, init=False)


def test_a_section_may_be_a_frozen_dataclass() -> None:
    assert make(TABLE="t", TAGS="x,y").section(Store) == Store("t", 10, ["x", "y"])
    assert make(TABLE="t", USED="3").section(Store) == Store("t", 10, ["a"])
    message = "^settings of Store are missing or wrong: TABLE is not set$"
    with pytest.raises(ConfigurationError, match=message):
        make().section(Store)


@dataclass
class PlainStore(Base):
    table: str = "t"


def test_a_dataclass_takes_only_its_fields() -> None:
    assert make().section(PlainStore) == PlainStore("t")


class Slots:
    __slots__ = ("name",)
    name: str


def test_an_empty_slot_is_no_default() -> None:
    message = "^settings of Slots are missing or wrong: NAME is not set$"
    with pytest.raises(ConfigurationError, match=message):
        make().section(Slots)
    assert make(NAME="x").section(Slots).name == "x"


def test_annotations_may_be_types_and_not_text() -> None:
    annotations = {"a": int, "b": list[str], "c": int | None}
    model = type("Model", (), {"__annotations__": annotations})
    section: Any = make(A="1", B="x").section(model)
    assert (section.a, section.b, section.c) == (1, ["x"], None)


class Odd:
    size: set[int]


def test_a_section_refuses_annotations_that_are_no_settings() -> None:
    message = (
        "Odd.size: the type of a setting must be one of str, int, float, bool, list, dict, "
        "json, not 'set[int]'"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        make().section(Odd)


def test_a_section_is_a_class() -> None:
    message = "^a section is a class with annotations, not 'Home'$"
    with pytest.raises(TypeError, match=message):
        make().section("Home")


# Status


def test_status_tells_where_settings_come_from() -> None:
    config = make(CITY="Oslo", THRIFTGATE_LOG_LEVEL="DEBUG", PATH="/bin", EMPTY="")
    config.get("CITY", "Bergen")
    config.get("COUNTRY", "Norway")
    config.get("STREET")
    config.get("EMPTY")
    with pytest.raises(ConfigurationError):
        config.require("NUMBER")
    assert config.status() == {
        "CITY": {"source": "environment", "value": "Oslo"},
        "COUNTRY": {"source": "default", "value": "Norway"},
        "EMPTY": {"source": "missing"},
        "NUMBER": {"source": "missing"},
        "STREET": {"source": "missing"},
        "THRIFTGATE_LOG_LEVEL": {"source": "environment", "value": "DEBUG"},
    }


def test_status_knows_the_settings_of_sections() -> None:
    config = make(URL="https://home.example")
    config.section(Home)
    status = config.status()
    assert status["URL"] == {"source": "environment", "value": "https://home.example"}
    assert status["TIMEOUT"] == {"source": "default", "value": 5.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME_TOKEN", "hunter2"),
        ("DATABASE_PASSWORD", "hunter2"),
        ("DATABASE", "postgres://user:hunter2@host/db"),
    ],
)
def test_status_never_shows_a_secret(name: Any, value: Any) -> None:
    config = make(**{name: value})
    config.get(name)
    assert config.status() == {name: {"source": "environment", "value": REDACTED}}
    config = make()
    config.get(name, value)
    assert config.status() == {name: {"source": "default", "value": REDACTED}}
