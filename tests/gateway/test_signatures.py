from __future__ import annotations

import inspect

import pytest

import gateway
from gateway import _wiring
from gateway._dispatch import FUNCTIONS, FURTHER


def target(path: str) -> object:
    interface, _, operation = path.partition(".")
    return getattr(_wiring.interfaces[interface], operation)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_the_signature_of_its_operation(name: str) -> None:
    function = inspect.signature(getattr(gateway, name))
    operation = inspect.signature(target(FUNCTIONS[name]))
    assert [(p.name, p.kind, p.default) for p in function.parameters.values()] == [
        (p.name, p.kind, p.default) for p in operation.parameters.values()
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_annotated_in_full(name: str) -> None:
    signature = inspect.signature(getattr(gateway, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


@pytest.mark.parametrize("interface", list(_wiring.interfaces))
def test_the_table_lists_every_public_method(interface: str) -> None:
    core = _wiring.interfaces[interface]._load()
    methods = {
        name for name in dir(core) if not name.startswith("_") and callable(getattr(core, name))
    }
    listed = {*FUNCTIONS.values(), *FURTHER}
    assert {f"{interface}.{name}" for name in methods} == {
        path for path in listed if path.startswith(f"{interface}.")
    }
