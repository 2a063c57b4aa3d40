from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fastpath_ext

if TYPE_CHECKING:
    from types import ModuleType

SOURCE = Path(fastpath_ext.__file__)


def load() -> ModuleType:
    """Run the package's ``__init__`` once more, as another module."""
    spec = importlib.util.spec_from_file_location("fastpath_ext_again", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(code: str, **environment: str) -> Any:
    """Return what *code* prints as JSON in a fresh interpreter."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "THRIFTGATE_PURE": "", **environment},
    )
    return json.loads(ran.stdout)


def test_package_is_compiled_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THRIFTGATE_PURE", raising=False)
    module = load()
    assert module.ABI == 2
    assert module.COMPILED is hasattr(module, "Store") is hasattr(module, "Handle")
    assert module.COMPILED is (module.reason == "")


@pytest.mark.parametrize("value", ["1", "yes"])
def test_switch_leaves_the_extension_alone(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("THRIFTGATE_PURE", value)
    module = load()
    assert (module.COMPILED, module.reason) == (False, "THRIFTGATE_PURE is set")
    assert not hasattr(module, "Store")


def test_switch_keeps_the_extension_from_being_loaded() -> None:
    code = (
        "import json, sys, fastpath_ext;"
        "print(json.dumps([n for n in sys.modules if n.startswith('fastpath')]))"
    )
    assert run(code, THRIFTGATE_PURE="1") == ["fastpath_ext"]


@pytest.mark.parametrize("value", ["", "0"])
def test_switch_is_off_when_empty_or_0(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("THRIFTGATE_PURE", value)
    assert load().reason != "THRIFTGATE_PURE is set"


def test_missing_extension_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THRIFTGATE_PURE", raising=False)
    monkeypatch.setitem(sys.modules, "fastpath_ext._extension", None)
    module = load()
    assert module.COMPILED is False
    assert module.reason == (
        "ModuleNotFoundError: import of fastpath_ext._extension halted; None in sys.modules"
    )
    assert not hasattr(module, "Store")


def broken(kind: str) -> bytes:
    """Return an extension module that cannot be loaded."""
    if not fastpath_ext.COMPILED:
        pytest.skip(f"there is nothing to break: {fastpath_ext.reason}")
    content = Path(importlib.import_module("fastpath_ext._extension").__file__).read_bytes()
    if kind == "cut short":
        return content[:40]  # further on, the loader would run over the end of the file
    foreign = (183 if os.uname().machine == "x86_64" else 62).to_bytes(2, "little")
    return content[:18] + foreign + content[20:]  # e_machine of the ELF header


@pytest.mark.parametrize(
    "content",
    [b"", b"not an ELF file at all", b"\x7fELF" + b"\0" * 100, "cut short", "other platform"],
)
def test_extension_that_cannot_be_loaded_is_a_reason(tmp_path: Path, content: bytes | str) -> None:
    (tmp_path / "fastpath_ext").mkdir()
    shutil.copy(SOURCE, tmp_path / "fastpath_ext")
    written = broken(content) if isinstance(content, str) else content
    (tmp_path / "fastpath_ext/_extension.abi3.so").write_bytes(written)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "import json, gateway, fastpath_ext as f;"
        "gateway.cache_set('k', 1);"
        "print(json.dumps([f.COMPILED, f.reason, f.__file__, hasattr(f, 'Store'),"
        "gateway.get_fast_path_stats()['reason'], gateway.cache_get('k')]))"
    )
    compiled, reason, file, has_store, shown, value = run(code)
    assert (compiled, has_store, value) == (False, False, 1)
    assert file.startswith(str(tmp_path))
    assert reason.startswith("ImportError: ")
    assert "_extension.abi3.so" in reason
    assert shown == f"{reason}; a process that started on the pure path stays there"


def test_import_loads_nothing_else_from_disk() -> None:
    code = (
        "import json, os, sys, time; before = set(sys.modules); import fastpath_ext;"
        "new = set(sys.modules) - before;"
        "print(json.dumps(sorted(n for n in new if getattr(sys.modules[n], '__file__', None))))"
    )
    expected = ["fastpath_ext"] + ["fastpath_ext._extension"] * fastpath_ext_is_built()
    assert run(code) == expected


def test_import_leaves_the_lock_of_the_interpreter_as_it_was() -> None:
    code = (
        "import json, sys; look = getattr(sys, '_is_gil_enabled', bool); before = look();"
        "import fastpath_ext; print(json.dumps(before == look()))"
    )
    assert run(code) is True


def fastpath_ext_is_built() -> bool:
    return importlib.util.find_spec("fastpath_ext._extension") is not None
