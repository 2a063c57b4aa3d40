"""Run tests against installed wheels, with the interpreter that runs this.

    python3.12 -m tools.wheels_suite FOLDER

FOLDER holds the wheels. What is tested lies in a virtual environment of its own, and the checkout
is no part of it. Progress goes to standard error; standard output gets one JSON line.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from tools import environment, installation
from tools.test import PURE_AGAIN, count_executed

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = ["thriftgate-gateway[fast]", "thriftgate-ha-extension"]
SWITCHES = {"compiled": "THRIFTGATE_REQUIRE_EXTENSIONS", "pure": "THRIFTGATE_PURE"}

# What a test would import must come from the wheels.
ORIGIN = """\
import sys
import cores, fastpath_ext, gateway, ha_extension
for module in (cores, fastpath_ext, gateway, ha_extension):
    if not module.__file__.startswith(sys.prefix):
        sys.exit(f"{module.__name__} was imported from {module.__file__}, not from a wheel")
if fastpath_ext.COMPILED != (sys.argv[1] == "compiled"):
    sys.exit(f"the wrong path runs: {fastpath_ext.reason or 'the compiled one'}")
"""


def main(arguments: list[str]) -> int:
    """Install the wheels, run both paths, and print how many tests ran on each."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = ROOT / ".venv-wheels" / f"suite-{version}"
    if folder.exists():
        shutil.rmtree(folder)  # what an earlier wheel left there would be tested
    suite = environment.Environment(ROOT, folder)
    try:
        suite.prepare(["test"], packages=False)
        from_wheels = ["--no-index", "--find-links", arguments[0], *DISTRIBUTIONS]
        suite.pip("installing the wheels", "install", from_wheels)
        suite.pip("checking what they require", "check", [])
        print(json.dumps({path: run(suite.python, path) for path in SWITCHES}))
    except installation.PreparationError as error:
        installation.say(f"dev.py wheels: {error}")
        return 1
    return 0


def run(python: Path, path: str) -> int:
    """Run the suite on one path and return how many tests were executed."""
    settings = environment.without_switches() | {SWITCHES[path]: "1"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest = ["-m", "pytest", f"--junit-xml={report}", "-p", "no:cacheprovider", *PURE_AGAIN]
        for what, command in {
            f"looking where the {path} path comes from": ["-c", ORIGIN, path],
            f"testing the wheels on the {path} path": pytest,
        }.items():
            log = python.parents[1] / f"{path}.log"
            words = [str(python), *command]
            installation.run(what, words, log, ROOT, environment=settings, causes={})
        executed = count_executed([report]).total()
    if not executed:
        msg = f"no test was executed on the {path} path"
        raise installation.PreparationError(msg)
    return executed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
