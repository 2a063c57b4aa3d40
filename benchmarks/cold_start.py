"""Cold starts side by side: instructions and processor time up to the end of INIT.

The bridge and the bare forwarder also handle their first directive, over TLS, from a demo home.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tools import instructions
from tools.budget import BARE, HANDLER, PACKAGES, RUNTIME, compile_frame

from benchmarks.home import directive, running_home
from benchmarks.measure import show_progress
from benchmarks.report import Parser, count, write_json
from gateway.cli.layout import lay_out
from gateway.cli.local_runtime import LocalRuntime

if TYPE_CHECKING:
    from collections.abc import Mapping

POWERTOOLS = ("aws_lambda_powertools", "jmespath", "typing_extensions")

POWERTOOLS_HANDLER = """\
from aws_lambda_powertools import Logger, Metrics

logger = Logger(service="bench")
metrics = Metrics(namespace="bench", service="bench")

@metrics.log_metrics
@logger.inject_lambda_context
def lambda_handler(event, context):
    metrics.add_metric("answers", "Count", 1)
    logger.info("answered", q=event["q"])
    return event["q"]
"""

FORWARDER = """\
import json
import os

import urllib3
from urllib3.util import create_urllib3_context

tls = create_urllib3_context()
tls.load_verify_locations(os.environ["HOME_ASSISTANT_CA_FILE"])
pool = urllib3.PoolManager(ssl_context=tls)
url = os.environ["HOME_ASSISTANT_URL"] + "/api/alexa/smart_home"

def lambda_handler(event, context):
    token = event["directive"]["endpoint"]["scope"]["token"]
    answer = pool.request(
        "POST", url, body=json.dumps(event).encode(), retries=False,
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    return answer.data
"""


@dataclass
class Case:
    """A handler module, and whether the first directive is handled too."""

    source: str
    directive: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


PURE = {"THRIFTGATE_PURE": "1"}
CASES = {
    "bare handler": Case(BARE),
    "import gateway, pure": Case(f"import gateway\n{BARE}", environment=PURE),
    "import gateway, compiled": Case(f"import gateway\n{BARE}"),
    "@handler + log + metric + cache, pure": Case(HANDLER, environment=PURE),
    "@handler + log + metric + cache, compiled": Case(HANDLER),
    "Powertools Logger + Metrics": Case(POWERTOOLS_HANDLER),
    "urllib3.PoolManager()": Case(f"import urllib3\npool = urllib3.PoolManager()\n{BARE}"),
    "bare urllib3 forwarder + first directive": Case(FORWARDER, directive=True),
    "bridge + first directive, pure": Case(
        "from ha_extension import lambda_handler\n", directive=True, environment=PURE
    ),
    "bridge + first directive, compiled": Case(
        "from ha_extension import lambda_handler\n", directive=True
    ),
}
# What each pair may cost, as a ratio.
FIGURES = (
    ("import gateway, pure", "bare handler", 1.025),
    ("import gateway, compiled", "bare handler", 1.035),
    ("@handler + log + metric + cache, pure", "bare handler", 1.08),
    ("@handler + log + metric + cache, compiled", "bare handler", 1.08),
    ("bridge + first directive, pure", "bare urllib3 forwarder + first directive", 1.05),
    ("bridge + first directive, compiled", "bare urllib3 forwarder + first directive", 1.05),
)


def parser() -> Parser:
    """Return the parser of `dev.py bench cold_start`."""
    options = Parser("cold_start", __doc__)
    options.add_argument("--rounds", type=count, default=15, help="processes per case for CPU time")
    return options


def lay_cases_out(folder: Path) -> list[str]:
    """Lay out the cases as Lambda does; return the command that runs one, but for its module."""
    handlers = folder / "handlers"
    handlers.mkdir()
    for number, case in enumerate(CASES.values()):
        (handlers / f"case_{number}.py").write_text(case.source)
    lay_out(folder / "task", (*PACKAGES, *POWERTOOLS), folder=handlers)
    lay_out(folder / "runtime", RUNTIME)
    compile_frame(folder)
    (folder / "directive.json").write_text(json.dumps(directive()))
    return [sys.executable, "-S", *(str(folder / it) for it in ("frame.pyc", "task", "runtime"))]


def cpu_ms(command: list[str], environment: dict[str, str]) -> float:
    """Run a process and return its processor time in ms."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        msg = f"{command[-1]} ended with {process.returncode}"
        raise RuntimeError(msg)
    return (usage.ru_utime + usage.ru_stime) * 1000


def peak_mb(task: Path, number: int, case: Case, settings: dict[str, str]) -> float | None:
    """Return the peak memory of one case under the real runtime client, after one invocation."""
    environment = {**settings, **case.environment}
    with LocalRuntime(task, f"case_{number}.lambda_handler", environment=environment) as runtime:
        event = directive() if case.directive else {"q": "answer"}
        peak = runtime.invoke(event).max_rss_kb
    return None if peak is None else round(peak / 1024, 1)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return, for each case, instructions (millions), CPU time (ms) and peak memory (MB)."""
    counter = instructions.counter()
    measured: dict[str, dict[str, float]] = {name: {} for name in CASES}
    with tempfile.TemporaryDirectory() as scratch, running_home(Path(scratch)) as settings:
        folder = Path(scratch)
        command = lay_cases_out(folder)
        base = {
            "PYTHONHASHSEED": "0",
            "LANG": "C.UTF-8",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            **settings,
        }
        runs = {
            name: (
                [
                    *command,
                    f"case_{number}",
                    *([str(folder / "directive.json")] if case.directive else []),
                ],
                {**base, **case.environment},
            )
            for number, (name, case) in enumerate(CASES.items())
        }
        samples: dict[str, list[float]] = {name: [] for name in CASES}
        order = list(CASES)
        for done in range(rounds):
            random.shuffle(order)
            for name in order:
                samples[name].append(cpu_ms(*runs[name]))
            show_progress("processor time: round", done + 1, rounds)
        for number, (name, case) in enumerate(CASES.items()):
            measured[name]["cpu_ms_median"] = round(statistics.median(samples[name]), 1)
            measured[name]["cpu_ms_min"] = round(min(samples[name]), 1)
            if (peak := peak_mb(folder / "task", number, case, settings)) is not None:
                measured[name]["peak_mb"] = peak
            if counter is not None:
                show_progress("instructions: case", number + 1, len(CASES))
                measured[name]["minstr"] = round(counter(*runs[name]) / 1e6, 2)
    return measured


def judge(measured: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return each figure with its ratio, by instructions where they were counted."""
    unit = "minstr" if "minstr" in measured["bare handler"] else "cpu_ms_min"
    return [
        {
            "figure": f"{case} / {peer}",
            "by": unit,
            "ratio": (ratio := round(measured[case][unit] / measured[peer][unit], 4)),
            "limit": limit,
            "verdict": "PASS" if ratio <= limit else "MISS",
        }
        for case, peer, limit in FIGURES
    ]


def main() -> int:
    """Measure, print, and say which figures hold."""
    options = parser().parse_args()
    started = time.monotonic()
    measured = measure(options.rounds)
    verdicts = judge(measured)
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "rounds": options.rounds,
    }
    if options.json:
        document = {"environment": machine, "cases": measured, "figures": verdicts}
        write_json(document, options.json)
    if options.json != "-":
        print(f"CPython {machine['python']}, {machine['system']}, {options.rounds} rounds")
        print(f"{'':44}{'Minstr':>9}{'x bare':>8}{'CPU ms':>9}{'min':>7}{'MB':>7}")
        bare = measured["bare handler"].get("minstr", 0.0)
        for name, row in measured.items():
            count = row.get("minstr")
            counted = f"{count:9.2f}{count / bare:8.3f}" if count else f"{'-':>9}{'-':>8}"
            print(
                f"{name:44}{counted}{row['cpu_ms_median']:9.1f}{row['cpu_ms_min']:7.1f}"
                f"{row.get('peak_mb', 0):7.1f}"
            )
        for it in verdicts:
            print(
                f"{it['verdict']}  {it['figure']}: {it['ratio']} by {it['by']}, "
                f"at most {it['limit']}"
            )
        print(f"{time.monotonic() - started:.0f} s")
    return int(options.check and any(it["verdict"] == "MISS" for it in verdicts))


if __name__ == "__main__":
    sys.exit(main())
