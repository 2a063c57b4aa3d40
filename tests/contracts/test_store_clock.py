"""Cache engines under a system clock that jumps.

The compiled engine asks the C library for the time, so the jumps are made there: in processes
that preload a library whose wall clock stands still until it is told to move.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long now_ms = 1234567890123;

void add_ms(long ms) { now_ms += ms; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, now);
    now->tv_sec = now_ms / 1000;
    now->tv_nsec = now_ms % 1000 * 1000000;
    return 0;
}

time_t time(time_t *seconds) {
    if (seconds) *seconds = now_ms / 1000;
    return now_ms / 1000;
}
"""

SCENES = {
    "forward": """
store = Store(default_ttl=10)
store["key"] = 1
assert store.get("key") == 1
add_ms(9_990)
assert store.get("key") == 1
store["late"] = 1
add_ms(20)
assert store.get("key") is None
assert store.get("late") == 1
add_ms(9_990)
assert store.get("late") is None
""",
    "by less than a second": """
store = Store(default_ttl=0.4)
for _ in range(8):
    store["key"] = 1
    add_ms(390)
    assert store.get("key") == 1
    add_ms(20)
    assert store.get("key") is None
""",
    "back": """
store = Store(default_ttl=10)
store["old"] = 1
assert store.get("old") == 1
add_ms(-100_000_000)
assert store.get("old") == 1
store["new"] = 1
add_ms(9_990)
assert store.get("old") == store.get("new") == 1
store["overwritten"] = 1
add_ms(20)
assert store.get("old", 2) == store.get("new", 2) == 2
assert store.get("overwritten") == 1
add_ms(100_000_000)
assert store.get("overwritten") is None
""",
    "back while only stored": """
store = Store(default_ttl=10)
for number in range(50):
    store["key"] = 1
    add_ms(-3_600_000)
store["key"] = 1
add_ms(9_990)
assert store.get("key") == 1
add_ms(20)
assert store.get("key") is None
""",
    "back after an expiry": """
store = Store()
store.set("key", 1, ttl=5)
add_ms(6_000)
assert not store.contains("key")
add_ms(-6_000)
assert store.get("key") is None
""",
    "far ahead and back": """
store = Store(default_ttl=10)
add_ms(1_000_000_000)
store["key"] = 1
assert store.get("key") == 1
add_ms(-1_000_000_000)
assert store.get("key") == 1
add_ms(10_010)
assert store.get("key") is None
""",
}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library to preload."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":  # pragma: no cover  depends on the machine
        pytest.skip("there is no C compiler, or no way to preload a library")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(LIBRARY)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", "clock.so", "clock.c"], cwd=folder, check=True
    )
    return folder / "clock.so"


@pytest.mark.parametrize("scene", SCENES)
def test_system_clock_may_jump(store_class: Any, library: Path, scene: str) -> None:
    code = (
        f"import ctypes; from {store_class.__module__} import Store\n"
        "add_ms = ctypes.CDLL(None).add_ms; add_ms.argtypes = [ctypes.c_long]\n" + SCENES[scene]
    )
    preloaded = " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(library)])
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LD_PRELOAD": preloaded}, check=True
    )
