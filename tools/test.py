"""Run the test suite: all of it, then once more in pure Python what has two implementations."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from tools.options import Parser

ROOT = Path(__file__).resolve().parent.parent
# What both passes run; the rest of the suite cannot tell the two implementations apart.
PURE_AGAIN = ["tests/contracts", "tests/gateway", "tests/fastpath_ext"]
NO_TESTS = 5  # pytest's exit status for an empty selection


def parser() -> Parser:
    """Return the parser of `dev.py test`; what it does not know goes to pytest."""
    options = Parser("test", f"{__doc__} Other arguments go to pytest.", passes_on=True)
    options.add_argument(
        "--coverage", action="store_true", help="record branch coverage, as ci does"
    )
    return options


def is_compiled(environment: dict[str, str]) -> bool:
    """Tell whether the gateway would find the compiled extension in this environment."""
    code = "import fastpath_ext, sys; sys.exit(not fastpath_ext.COMPILED)"
    if environment.get("THRIFTGATE_PURE", "0") not in {"", "0"}:
        return False
    command = [sys.executable, "-c", code]
    return not subprocess.run(command, check=False, env=environment, capture_output=True).returncode


def run_pass(path: str, arguments: list[str], report: Path, *, coverage: bool) -> int:
    """Run pytest once and return its exit status; `report` receives JUnit's XML."""
    print(f"== tests, {path} path", flush=True)
    measured = ["coverage", "run", "-m"] if coverage else []
    environment = os.environ | ({"THRIFTGATE_PURE": "1"} if path == "pure" else {})
    return subprocess.run(
        [sys.executable, "-m", *measured, "pytest", f"--junit-xml={report}", *arguments],
        check=False,
        cwd=ROOT,
        env=environment,
    ).returncode


def count_executed(reports: list[Path]) -> Counter[str]:
    """Count the tests that ran, were not skipped, by their folder under tests/."""
    counts: Counter[str] = Counter()
    for report in reports:
        for case in ET.parse(report).iter("testcase"):
            if case.find("skipped") is None:
                counts[case.get("classname", "").split(".")[1]] += 1
    return counts


def absolute(argument: str) -> str:
    """Return a path argument, relative to the user's folder, as pytest finds it from the root."""
    file, colons, name = argument.partition("::")
    return str(Path(file).absolute()) + colons + name if Path(file).exists() else argument


def main() -> int:
    """Run both passes and say what ran; return the first exit status that is not 0."""
    options, rest = parser().parse_known_args()
    arguments = [absolute(argument) for argument in rest]
    start = time.monotonic()
    compiled = is_compiled(dict(os.environ))
    again = [folder for folder in PURE_AGAIN if (ROOT / folder).is_dir()]
    passes = (
        {"compiled": arguments, "pure": arguments or again} if compiled else {"pure": arguments}
    )
    with tempfile.TemporaryDirectory() as folder:
        reports = {path: Path(folder) / f"{path}.xml" for path in passes}
        statuses = [
            run_pass(path, selection, reports[path], coverage=options.coverage)
            for path, selection in passes.items()
        ]
        counts = count_executed([report for report in reports.values() if report.exists()])
    packages = sorted(folder.name for folder in (ROOT / "packages").iterdir() if folder.is_dir())
    listed = packages + sorted(set(counts) - set(packages))
    shown = ", ".join(f"{name} {counts[name]}" for name in listed)
    paths = " and ".join(passes)
    print(f"tests executed on the {paths} path: {shown} ({time.monotonic() - start:.0f} s)")
    if not compiled:
        print(
            "the compiled path did not run: the extension is not built, or THRIFTGATE_PURE is set"
        )
    idle = [] if rest else [name for name in packages if not counts[name]]
    if idle:
        print(f"no test was executed for {', '.join(idle)}")
    return next((status for status in statuses if status not in {0, NO_TESTS}), int(bool(idle)))


if __name__ == "__main__":
    sys.exit(main())
