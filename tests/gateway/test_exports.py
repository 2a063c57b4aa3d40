from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway._dispatch import FUNCTIONS

if TYPE_CHECKING:
    from conftest import Fresh

# What the gateway offers besides operations.
ITSELF = {
    "GatewayInterface",
    "disable_fast_path",
    "enable_fast_path",
    "execute_operation",
    "get_fast_path_stats",
    "get_gateway_stats",
    "handler",
    "preload",
    "register_fast_path",
    "register_interface",
    "reset",
}


def public_names() -> set[str]:
    return {
        name
        for name, value in vars(gateway).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    } - {"annotations", "TYPE_CHECKING"}


def test_all_is_sorted_and_lists_every_public_name() -> None:
    for name in gateway.__all__:
        getattr(gateway, name)  # the late names arrive now
    assert gateway.__all__ == sorted(gateway.__all__)
    assert set(gateway.__all__) == public_names()


def test_every_name_is_an_operation_an_error_or_the_gateways_own() -> None:
    errors = {
        name
        for name in gateway.__all__
        if isinstance(getattr(gateway, name), type)
        and issubclass(getattr(gateway, name), Exception)
    }
    assert set(gateway.__all__) - errors == {*FUNCTIONS, *ITSELF}


def test_every_error_of_the_tree_is_exported() -> None:
    from cores import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert tree <= set(gateway.__all__)


def test_dir_knows_names_that_are_not_there_yet(fresh: Fresh) -> None:
    out = fresh(
        "import gateway; print('GatewayInterface' in dir(gateway), 'cache_get' in dir(gateway))"
    )
    assert out == "True True\n"


@pytest.mark.parametrize("name", ["cache_got", "CacheError"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module 'gateway' has no attribute '{name}'$"):
        getattr(gateway, name)


def test_every_function_has_a_docstring_of_one_line_at_least() -> None:
    for name in gateway.__all__:
        first = (getattr(gateway, name).__doc__ or "").partition("\n")[0]
        assert first.endswith("."), name


def test_eager_loads_every_core(fresh: Fresh) -> None:
    out = fresh(
        "import gateway; interfaces = gateway.get_gateway_stats()['interfaces'].values();"
        "print(all(interface['loaded'] for interface in interfaces))",
        THRIFTGATE_EAGER="1",
    )
    assert out == "True\n"


def test_help_works_without_loading_a_core(fresh: Fresh) -> None:
    out = fresh(
        "import pydoc, sys, gateway; text = pydoc.plain(pydoc.render_doc(gateway));"
        "print('cache_get(key' in text, [m for m in sorted(sys.modules) if m.startswith('cores')])"
    )
    assert out == "True ['cores', 'cores.errors']\n"  # the late names are asked for
