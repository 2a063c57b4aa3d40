"""The developer's one entry point: make the environment a verb needs, then hand over to its script.

`python3 dev.py --help` lists the verbs; each is a script under tools/. Nothing but the standard
library is needed. This file keeps to syntax that Python 3.6 can read, so that an old interpreter
is told what to do instead of failing on a line of ours.
"""

import subprocess
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is where the minimum version is enforced
    _remedy = "install one from https://www.python.org/downloads/ or with: uv python install 3.13"
    for _name in [f"python3.{minor}" for minor in range(11, 20)]:
        try:
            subprocess.check_output([_name, "-c", ""], stderr=subprocess.STDOUT)
        except (OSError, subprocess.CalledProcessError):
            continue
        _remedy = f"run it with {_name}, which works on this machine"
    sys.exit(
        f"dev.py needs Python 3.11 or newer and was started by {sys.version.split()[0]}"
        f" ({sys.executable}); {_remedy}."
    )

import difflib
import importlib
import os
from pathlib import Path

from tools import environment

ROOT = Path(__file__).resolve().parent
# What each verb does, and the dependency groups of the root pyproject.toml that it needs.
VERBS = {
    "run": ("perform a real invocation: Alexa directives through the bridge to a home", ["run"]),
    "test": ("the whole test suite, on the compiled and the pure path", ["test"]),
    "lint": ("ruff's checks and format, and the import contracts", ["lint"]),
    "types": ("mypy --strict", ["types"]),
    "budget": ("start-up instruction counts against the committed baseline", ["run"]),
    "sanitize": ("hunt for memory faults, leaks and races in the compiled code", ["sanitize"]),
    "live": ("tests against a real Home Assistant", ["test"]),
    "bench": ("comparisons with peers, one table or all: bench [TABLE...]", ["build"]),
    "wheels": ("wheels for both architectures of Lambda, checked and tested", ["wheels"]),
    "ci": ("lint, types, test, budget, live and sanitize: what CI runs", ["lint", "types"]),
}
INTERRUPTED = 130

# `-m` would need the root as working directory, and a script's own folder on the path would let
# tools/types.py stand in for the standard library's types.
HAND_OVER = """\
import runpy, sys
sys.path[0] = sys.argv.pop(1)
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


class UsageError(Exception):
    """A command line that cannot be meant; the text is the whole answer."""


def usage() -> str:
    """Return what --help prints."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {VERBS[verb][0]}" for verb in VERBS if verb != "bench" or tables()]
    return "\n".join(
        [
            "usage: python3 dev.py VERB [ARGUMENT...]",
            "       python3 dev.py VERB VERB...     (verbs without arguments, one after another)",
            "       python3 dev.py VERB --help",
            "",
            *lines,
            "",
            "The first use of a verb installs what it needs into .venv. THRIFTGATE_PURE=1 leaves",
            "the compiled extension out, THRIFTGATE_REQUIRE_EXTENSIONS=1 insists on it.",
        ],
    )


def tables() -> list[str]:
    """Return the names of the benchmark tables: scripts with pinned requirements of their own."""
    folder = ROOT / "benchmarks"
    prefix = "requirements-"
    files = sorted(folder.glob(f"{prefix}*.txt"))
    names = [file.stem.removeprefix(prefix) for file in files]
    return [name for name in names if (folder / f"{name}.py").is_file()]


def near(word: str, names: list[str]) -> str:
    """Return the part of a complaint that lists the names close to `word`."""
    close = difflib.get_close_matches(word, names, n=2)
    return f"; did you mean {' or '.join(close)}?" if close else f"; it knows {', '.join(names)}."


def parse(words: list[str]) -> list[tuple[str, list[str]]]:
    """Return the verbs to run, in order, each with its arguments."""
    names = list(VERBS) if tables() else [verb for verb in VERBS if verb != "bench"]
    if words[0] not in names:
        kind = "option" if words[0].startswith("-") else "verb"
        known = ["--help"] if kind == "option" else names
        msg = f"dev.py has no {kind} {words[0]!r}{near(words[0], known)}"
        raise UsageError(msg)
    if all(word in names for word in words):
        return [(word, []) for word in words]
    verb, arguments = words[0], words[1:]
    if arguments[0] in names and verb != "bench":
        wrong = next(word for word in words if word not in names)
        msg = (
            f"dev.py runs several verbs only without arguments, and {wrong!r} is not a verb"
            f"{near(wrong, names)}"
        )
        raise UsageError(msg)
    return [(verb, arguments)]


def check(verb: str, arguments: list[str]) -> None:
    """Let the tool judge its arguments (and answer --help) before anything is installed."""
    modules = [(f"tools.{verb}", arguments)]
    if verb == "bench":
        if arguments[:1] in (["-h"], ["--help"]):
            sys.stdout.write(bench_usage() + "\n")
            sys.exit(0)
        chosen, options = bench_tables(arguments)
        modules = [(f"benchmarks.{table}", options) for table in chosen]
    for module, options in modules:
        try:
            tool = importlib.import_module(module)
        except ImportError:  # it needs its environment to be read at all
            continue
        if hasattr(tool, "parser"):
            tool.parser().parse_known_args(options)


def bench_tables(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of bench into the tables, which come first, and each one's options."""
    known = tables()
    first = next((at for at, it in enumerate(arguments) if it.startswith("-")), len(arguments))
    names, options = arguments[:first] or known, arguments[first:]
    for name in names:
        if name not in known:
            msg = f"dev.py bench has no table {name!r}{near(name, known)}"
            raise UsageError(msg)
    late = [word for word in options if word in known]
    if late:
        msg = f"dev.py bench takes its tables before the options: bench {late[0]} {options[0]}"
        raise UsageError(msg)
    pairs = zip(options, [*options[1:], ""], strict=True)
    if len(names) > 1 and any(is_json_file(*pair) for pair in pairs):
        msg = "dev.py bench writes one table to a file; name one table, or take --json - or --save"
        raise UsageError(msg)
    return names, options


def is_json_file(option: str, value: str) -> bool:
    """Tell whether an option of bench, with the word behind it, names a file for the results."""
    if option.startswith("--json="):
        return option != "--json=-"
    return option == "--json" and value != "" and not value.startswith("-")


def bench_usage() -> str:
    """Return what `bench --help` prints."""
    return "\n".join(
        [
            "usage: python3 dev.py bench [TABLE...] [OPTION...]",
            "       python3 dev.py bench TABLE --help",
            "",
            f"tables: {', '.join(tables())}",
            "",
            "Without a table all of them run, one after another; each gets the same options. Each",
            "has an environment of its own in .venv-bench. All take these options:",
            "",
            "  --json [FILE]  a JSON document for each table: in FILE (of one table) or as output",
            "  --check        exit with 1 when a figure is missed",
        ],
    )


def hand_over(python: Path, module: str, arguments: list[str]) -> int:
    """Run a module with the environment's interpreter and return its exit status."""
    child = subprocess.Popen(  # the user's working directory is kept: their file names are relative
        [str(python), "-c", HAND_OVER, str(ROOT), module, *arguments],
    )
    while True:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            continue  # the terminal interrupted the tool as well; how it ends is its answer
        return status if status >= 0 else 128 - status


def perform(verb: str, arguments: list[str]) -> int:
    """Prepare the environment of one verb, run it, and return its exit status."""
    if verb == "bench":
        chosen, options = bench_tables(arguments)
        statuses = []
        for table in chosen:
            bench = environment.Environment(ROOT, ROOT / ".venv-bench" / table)
            python = bench.prepare(["build"], ROOT / f"benchmarks/requirements-{table}.txt")
            statuses.append(hand_over(python, f"benchmarks.{table}", options))
        return max(statuses)
    if verb == "wheels":  # with a compiler of 400 MB, and without the packages that it is to build
        own = environment.Environment(ROOT, ROOT / ".venv-wheels" / "build")
        return hand_over(own.prepare(["wheels"], packages=False), "tools.wheels", arguments)
    python = environment.Environment(ROOT, ROOT / ".venv").prepare(VERBS[verb][1])
    return hand_over(python, f"tools.{verb}", arguments)


def main(words: list[str]) -> int:
    """Run the verbs of a command line; the first one that fails ends it."""
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(usage() + "\n")
        return 0 if words else 2
    try:
        plan = parse(words)
        for verb, arguments in plan:
            check(verb, arguments)
        for verb, arguments in plan:
            status = perform(verb, arguments)
            if status:
                return status
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except environment.PreparationError as error:
        sys.stderr.write(f"dev.py: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ndev.py: interrupted; the same command goes on from here.\n")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    os.environ.pop("__PYVENV_LAUNCHER__", None)  # macOS: the launcher's choice is not the .venv's
    sys.exit(main(sys.argv[1:]))
