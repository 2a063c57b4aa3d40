"""The script that tries a wheel under emulation, here on what is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import wheels_smoke

import cores.store
import fastpath_ext

SCRIPT = Path(wheels_smoke.__file__)


class Keeper(cores.store.Store):
    """A store that deletes nothing."""

    def delete(self, key: object) -> bool:
        return key in self


class Forgetful(cores.store.Store):
    """A store that keeps what it was given last under any key."""

    def get(self, key: object, default: object = None) -> object:
        return "something"


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", str(SCRIPT), str(folder), "7"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.skipif(not fastpath_ext.COMPILED, reason=f"no extension: {fastpath_ext.reason}")
def test_what_works_is_counted(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert re.fullmatch(r"12000 operations on Python [\d.]+, \w+, seed 7\n", done.stdout), (
        done.stderr
    )


def test_an_extension_that_does_not_load_is_the_end(tmp_path: Path) -> None:
    done = run(tmp_path, THRIFTGATE_PURE="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the extension does not load: THRIFTGATE_PURE is set\n"


def test_the_pure_twin_behaves_like_the_model() -> None:
    wheels_smoke.try_lru(cores.store.Store, 7)
    wheels_smoke.try_s3fifo(cores.store.Store, 7)


def test_a_store_that_differs_from_the_model_is_found() -> None:
    with pytest.raises(SystemExit, match=r"^seed 7, operation \d+, delete of .* was expected$"):
        wheels_smoke.try_lru(Keeper, 7)
    with pytest.raises(SystemExit, match=r"^seed 7, operation \d+: 'something', where "):
        wheels_smoke.try_s3fifo(Forgetful, 7)
