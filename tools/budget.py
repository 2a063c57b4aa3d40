"""Count the instructions of a cold start and hold them against the committed baseline."""

from __future__ import annotations

import json
import os
import py_compile
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools import instructions
from tools.options import Parser
from tools.test import is_compiled

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tools" / "budget.json"
PACKAGES = ("gateway", "cores", "fastpath_ext", "ha_extension", "urllib3")
RUNTIME = ("awslambdaric", "simplejson", "runtime_client", "snapshot_restore_py")
# Of a ratio. Two builds of one CPython version differ by 1.3 % where urllib3 is imported.
TOLERANCE = 0.005
OTHER_BUILD = 0.015

BARE = "def lambda_handler(event, context):\n    return event\n"
HANDLER = """\
from gateway import cache_get, cache_set, handler, log_info, record_metric

@handler(preload=("cache", "logging", "metrics"))
def lambda_handler(event, context):
    answer = cache_get(event["q"])
    if answer is None:
        answer = event["q"]
        cache_set(event["q"], answer, ttl=300)
    record_metric("answers", 1)
    log_info("answered", q=event["q"])
    return answer
"""


@dataclass(frozen=True)
class Case:
    """A handler module, what of it is counted, and the most it may cost as a ratio to bare."""

    source: str
    invoke: bool = False
    limits: tuple[float, float] | None = None  # pure, compiled


CASES = {
    "import_gateway": Case(f"import gateway\n{BARE}", limits=(1.025, 1.035)),
    "handler": Case(HANDLER, limits=(1.08, 1.08)),
    "handler_first_invocation": Case(HANDLER, invoke=True),
    "bridge": Case("from ha_extension import lambda_handler\n"),
}


def parser() -> Parser:
    """Return the parser of `dev.py budget`."""
    options = Parser("budget", __doc__ or "")
    options.add_argument("--update", action="store_true", help="write the counts into the baseline")
    options.add_argument("--json", action="store_true", help="print the ratios as JSON")
    return options


def lay_out(folder: Path) -> None:
    """Lay the packages, the handlers and the runtime out as Lambda does, with valid bytecode."""
    from gateway.cli import layout  # this module must be readable before anything is installed

    handlers = folder / "handlers"
    handlers.mkdir()
    (handlers / "bare.py").write_text(BARE)
    for name, case in CASES.items():
        (handlers / f"case_{name}.py").write_text(case.source)
    layout.lay_out(folder / "task", PACKAGES, folder=handlers)
    layout.lay_out(folder / "runtime", RUNTIME)
    (folder / "event.json").write_text('{"q": "answer"}')
    compile_frame(folder)


def compile_frame(folder: Path) -> None:
    """Compile what is counted, so that the counted process need not."""
    frame = Path(__file__).with_name("budget_frame.py")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(frame), str(folder / "frame.pyc"), invalidation_mode=mode)


def count(folder: Path, paths: list[str]) -> dict[str, dict[str, float]] | None:
    """Return path -> case -> ratio to the bare handler, or None where nothing can be counted."""
    counter = instructions.counter()
    if counter is None:
        return None
    lay_out(folder)
    fixed = {
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python{}.{}".format(*sys.version_info),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "budget",
        # The bridge connects in INIT; nobody answers here. Without TLS, whose cost is that of the
        # machine's certificate store.
        "HOME_ASSISTANT_URL": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-S", "frame.pyc", "task", "runtime"]
    command[2:] = [str(folder / part) for part in command[2:]]

    def run(path: str, module: str, *events: str) -> int:
        pure = {"THRIFTGATE_PURE": "1"} if path == "pure" else {}
        return counter([*command, module, *events], fixed | pure)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bare = pool.submit(run, "pure", "bare")
        counts = {
            path: {
                name: pool.submit(
                    run, path, f"case_{name}", *[str(folder / "event.json")] * case.invoke
                )
                for name, case in CASES.items()
            }
            for path in paths
        }
        return {
            path: {name: round(each.result() / bare.result(), 4) for name, each in cases.items()}
            for path, cases in counts.items()
        }


def judge(
    ratios: dict[str, dict[str, float]],
    baseline: dict[str, dict[str, float]],
    tolerance: float = TOLERANCE,
) -> tuple[list[str], list[str]]:
    """Return a table of the ratios, and a sentence for each that is too high."""
    rows = [f"{'x bare handler':28}{'path':10}{'now':>8}{'baseline':>10}{'limit':>8}"]
    faults = []
    for path, cases in ratios.items():
        for name, ratio in cases.items():
            known = baseline.get(path, {}).get(name)
            limits = CASES[name].limits
            limit = limits[path == "compiled"] if limits else None
            shown = f"{known or '-':>10}{limit or '-':>8}"
            rows.append(f"{name:28}{path:10}{ratio:8.4f}{shown}")
            if limit and ratio > limit:
                faults.append(f"{name} ({path}) costs {ratio} x bare, and may cost {limit}")
            if known and ratio > known * (1 + tolerance):
                faults.append(
                    f"{name} ({path}) rose from {known} to {ratio} x bare; look for a new import"
                    " with -X importtime, or accept it with: dev.py budget --update"
                )
            if known and ratio < known * (1 - tolerance):
                rows.append(f"  {name} fell from {known}: keep it with dev.py budget --update")
    return rows, faults


def main() -> int:
    """Count, compare and report; the exit status is 1 when something became too dear."""
    options = parser().parse_args()
    paths = ["pure", "compiled"] if is_compiled(dict(os.environ)) else ["pure"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            ratios = count(Path(folder), paths)
        except instructions.CountingError as error:
            print(f"budget: a counted process failed\n{error}")
            return 1
    if ratios is None:
        print(
            "budget skipped: nothing here counts instructions (no hardware counters, no valgrind)"
        )
        return 0
    version = "{}.{}".format(*sys.version_info)
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if options.update:
        if baselines.get(version, {}).get("interpreter") != sys.version:
            baselines[version] = {"interpreter": sys.version}
        baselines[version] |= ratios
        BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
    baseline = baselines.get(version, {})
    tolerance = TOLERANCE if baseline.get("interpreter") == sys.version else OTHER_BUILD
    rows, faults = judge(ratios, baseline, tolerance)
    if options.json:
        print(json.dumps({"python": version, "ratios": ratios, "faults": faults}, indent=2))
    else:
        print("\n".join([*rows, *faults]))
        if not baseline:
            print(f"no baseline for Python {version}: only the limits were checked")
        elif tolerance == OTHER_BUILD:
            print(f"the baseline is another build's, so {OTHER_BUILD:.1%} more is allowed")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
