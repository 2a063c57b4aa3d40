"""Settings from the environment, typed, with every problem named at once."""

from __future__ import annotations

import os
from json import loads
from math import isfinite
from types import MemberDescriptorType

from cores.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    M = TypeVar("M")

REDACTED = "[redacted]"

# Types of settings, and what a text must be to become one.
_KINDS = {
    "str": "text",
    "int": "an integer",
    "float": "a finite number",
    "bool": "one of true, false, yes, no, on, off, 1, 0",
    "list": "texts separated by commas",
    "dict": "a JSON object",
    "json": "JSON",
}
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")

_SECRET_PARTS = ("secret", "token", "passw", "pwd", "credential", "private", "key", "auth")


class Config:
    """Reads settings: an environment variable wins over the default at the call.

    A variable that is empty or blank counts as not set. Types are ``str``, ``int``, ``float``,
    ``bool`` (true, false, yes, no, on, off, 1, 0), ``list`` (texts between commas), ``dict`` (a
    JSON object) and ``"json"`` (any JSON); each may be given as the class or by name.

    >>> Config(environ={"PORT": "8123"}).get("PORT", 443, type=int)
    8123
    """

    def __init__(self, *, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        # What was asked for, with its default: a tuple of one, or of none without a default.
        self._asked: dict[str, tuple[object, ...]] = {}

    def get(self, name: str, default: Any = None, *, type: object = None) -> Any:  # noqa: A002
        """Return the setting *name* as *type* (text without one), or *default* as it is.

        Raises ``ConfigurationError`` for a value that is not of the type.
        """
        kind = _kind(type)
        text = self._text(name, () if default is None else (default,))
        return default if text is None else _convert(name, text, kind)

    def require(self, name: str, *, type: object = None) -> Any:  # noqa: A002
        """Return the setting *name* as *type*; raise ``ConfigurationError`` when it is not set."""
        kind = _kind(type)
        text = self._text(name, ())
        if text is None:
            msg = f"{name} is not set: set the environment variable {name}"
            raise ConfigurationError(msg)
        return _convert(name, text, kind)

    def section(self, model: type[M], *, prefix: str = "") -> M:
        """Return a *model* filled from the variables called *prefix* and an attribute's name.

        *model* is a class or dataclass with annotations: ``url: str`` is read from the variable
        ``URL`` after the prefix. An attribute without a default must be set, unless it may be
        None. Names that begin with an underscore and ``ClassVar`` are left alone.
        Raises one ``ConfigurationError`` that lists all settings that are missing or wrong, and
        ``TypeError`` for an annotation that is no type of setting.
        """
        values: dict[str, Any] = {}
        problems = []
        for attribute, annotation in _annotations(model).items():
            kind, default = _field(model, attribute, annotation)
            name = prefix + attribute.upper()
            text = self._text(name, default)
            if text is None and default:
                values[attribute] = default[0]
            elif text is None:
                problems.append(f"{name} is not set")
            else:
                try:
                    values[attribute] = _convert(name, text, kind)
                except ConfigurationError as error:
                    problems.append(str(error))
        if problems:
            msg = f"settings of {model.__name__} are missing or wrong: {'; '.join(problems)}"
            raise ConfigurationError(msg)
        if hasattr(model, "__dataclass_fields__"):
            return model(**values)
        section = model()
        for attribute, value in values.items():
            setattr(section, attribute, value)
        return section

    def status(self) -> dict[str, dict[str, object]]:
        """Return where each setting comes from, sorted by name.

        Listed are the settings asked for so far, and the variables whose name begins with
        THRIFTGATE_. Each has ``source`` ("environment", "default" or "missing") and, unless it
        is missing, ``value``: the text or the default. Values of secret-looking names, and
        addresses that hold a password, are redacted.
        """
        own = {name for name in self._environ if name.startswith("THRIFTGATE_")}
        status: dict[str, dict[str, object]] = {}
        for name in sorted(own.union(self._asked)):
            value: object = self._environ.get(name, "")
            if str(value).strip():
                status[name] = {"source": "environment", "value": value}
            elif self._asked.get(name):
                status[name] = {"source": "default", "value": self._asked[name][0]}
            else:
                status[name] = {"source": "missing"}
                continue
            if _is_secret(name, status[name]["value"]):
                status[name]["value"] = REDACTED
        return status

    def _text(self, name: str, default: tuple[object, ...]) -> str | None:
        """Return the text of the variable *name*, or None; remember that it was asked for."""
        if not isinstance(name, str) or not name:
            msg = f"the name of a setting must be a text that is not empty, not {name!r}"
            raise TypeError(msg)
        self._asked[name] = default
        text = self._environ.get(name, "")
        return text if text.strip() else None


def _kind(annotation: object) -> str:
    """Return which kind of setting a type, given as a class or as text, stands for."""
    if annotation is None:
        return "str"
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    kind = "list" if text == "list[str]" else "dict" if text.startswith("dict[") else text
    if kind not in _KINDS:
        msg = f"the type of a setting must be one of {', '.join(_KINDS)}, not {text!r}"
        raise TypeError(msg)
    return kind


def _convert(name: str, text: str, kind: str) -> Any:  # Any: of the kind asked for
    try:
        return _parse(text, kind)
    except (ValueError, RecursionError):
        msg = f"{name} must be {_KINDS[kind]}"
    # JSON may hold anything, so it is not shown.
    if kind in ("dict", "json") or _is_secret(name, text):
        raise ConfigurationError(msg)
    msg += f", not {text!r}"
    raise ConfigurationError(msg)


def _parse(text: str, kind: str) -> object:
    value: object = text
    if kind == "int":
        value = int(text)
    elif kind == "float":
        value = float(text)
        if not isfinite(value):
            raise ValueError
    elif kind == "bool":
        word = text.strip().lower()
        if word not in _TRUE + _FALSE:
            raise ValueError
        value = word in _TRUE
    elif kind == "list":
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif kind in ("dict", "json"):
        value = loads(text)
        if kind == "dict" and not isinstance(value, dict):
            raise ValueError
    return value


def _is_secret(name: str, value: object) -> bool:
    lower = name.lower()
    if any(part in lower for part in _SECRET_PARTS) or "pin" in lower.split("_"):
        return True
    return isinstance(value, str) and "://" in value and "@" in value


def _annotations(model: type) -> dict[str, object]:
    """Return the annotations of *model* and its bases that stand for settings."""
    if not isinstance(model, type):
        msg = f"a section is a class with annotations, not {model!r}"
        raise TypeError(msg)
    found: dict[str, object] = {}
    for base in reversed(model.__mro__):
        found.update(getattr(base, "__annotations__", {}))
    fields = getattr(model, "__dataclass_fields__", None)
    return {
        name: annotation
        for name, annotation in found.items()
        if not name.startswith("_")
        and "ClassVar" not in str(annotation)
        and (fields is None or (name in fields and fields[name].init))
    }


def _field(model: type, name: str, annotation: object) -> tuple[str, tuple[object, ...]]:
    """Return the kind of an attribute, and its default as a tuple of one or none."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = text.replace(" ", "").replace("typing.", "")
    if text.startswith("Optional["):
        text = text[len("Optional[") : -1] + "|None"
    types = text.split("|")
    try:
        kind = _kind("|".join(each for each in types if each != "None"))
    except TypeError as error:
        msg = f"{model.__name__}.{name}: {error}"
        raise TypeError(msg) from None
    return kind, _default(model, name) or ((None,) if "None" in types else ())


def _default(model: type, name: str) -> tuple[object, ...]:
    field = getattr(model, "__dataclass_fields__", {}).get(name)
    if field is None:
        value = getattr(model, name, model)
        # A slot without a value is no default.
        return () if value is model or isinstance(value, MemberDescriptorType) else (value,)
    if callable(field.default_factory):
        return (field.default_factory(),)
    # A field without either has the same marker in both places.
    return () if field.default is field.default_factory else (field.default,)
