"""dev.py as a process, in a small tree of its own with an installer that only takes notes."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = "{}.{}.{}".format(*sys.version_info)

# Stands in for uv: makes an environment whose Python is this one, and notes what it is to install.
# FAIL names a word of the requirements that fails; SAY is what it prints then.
UV = f"""\
#!/bin/sh
PATH=/usr/bin:/bin
case "$1" in
venv) mkdir -p "$4/bin" && ln -s "{sys.executable}" "$4/bin/python" && exit ;;
esac
shift 4
echo "$@" >> "$NOTES"
if [ -n "$GATE" ]; then echo started > "$GATE.started"; read -r _ < "$GATE.never"; fi
case "$*" in *"$FAIL"*) test -n "$FAIL" && echo "$SAY" && exit 1 ;; esac
exit 0
"""

TOOL = """\
import os, sys
if __name__ == "__main__":
    print("{verb}", sys.argv[1:], os.getcwd())
    sys.exit({status})
"""

PROJECT = """\
[dependency-groups]
build = ["stub-build==1"]
run = [{ include-group = "build" }, "stub-run==1"]
test = [{ include-group = "run" }, "stub-test==1"]
lint = ["stub-lint==1"]
types = [{ include-group = "test" }, "stub-types==1"]
wheels = [{ include-group = "build" }, "stub-wheels==1"]
"""


class Project:
    """A tree with dev.py, stub tools and a stub installer."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a tree"  # paths with a space must do
        self.programs = folder / "programs"
        self.notes = folder / "notes"
        self.programs.mkdir()
        (self.programs / "uv").write_text(UV)
        (self.programs / "uv").chmod(0o755)
        shutil.copytree(
            ROOT / "tools", self.root / "tools", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(ROOT / "dev.py", self.root)
        (self.root / "pyproject.toml").write_text(PROJECT)
        for verb in ("run", "lint", "types"):
            self.tool(verb)

    def tool(self, verb: str, status: int = 0) -> None:
        (self.root / "tools" / f"{verb}.py").write_text(TOOL.format(verb=verb, status=status))

    def package(self, name: str) -> None:
        folder = self.root / "packages" / name
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text("")

    def environment(self, **variables: str) -> dict[str, str]:
        path = os.pathsep.join([str(self.programs), "/usr/bin", "/bin"])
        fixed = {"PATH": path, "NOTES": str(self.notes), "FAIL": "", "SAY": "", "GATE": ""}
        return fixed | variables

    def start(
        self, *arguments: str, code: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        script = [str(self.root / "dev.py")] if code is None else ["-c", code]
        return subprocess.run(
            [sys.executable, *script, *arguments],
            cwd=self.root.parent,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )

    def installed(self) -> list[str]:
        """Return what was installed since the last call, a line each."""
        if not self.notes.exists():
            return []
        lines = self.notes.read_text().splitlines()
        self.notes.unlink()
        return lines

    def stamps(self) -> set[str]:
        return {stamp.name for stamp in (self.root / ".venv" / "stamps").iterdir()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_help_lists_every_verb_and_installs_nothing(project: Project) -> None:
    done = project.start("--help")
    assert done.returncode == 0
    for verb in ("run", "test", "lint", "types", "budget", "sanitize", "live", "wheels", "ci"):
        assert f"\n  {verb} " in done.stdout
    assert "bench" not in done.stdout  # there is no table here
    assert not (project.root / ".venv").exists()


def test_no_argument_shows_the_help_and_fails(project: Project) -> None:
    done = project.start()
    assert done.returncode == 2
    assert done.stdout.startswith("usage: python3 dev.py VERB")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tset"], "dev.py has no verb 'tset'; did you mean test?"),
        (
            ["zzz"],
            (
                "dev.py has no verb 'zzz'; it knows run, test, lint, types, budget, sanitize,"
                " live, wheels, ci."
            ),
        ),
        (["--hlep"], "dev.py has no option '--hlep'; did you mean --help?"),
        (
            ["lint", "types", "tset"],
            (
                "dev.py runs several verbs only without arguments, and 'tset' is not a verb;"
                " did you mean test?"
            ),
        ),
        (["budget", "--jsno"], "dev.py budget has no option '--jsno'; did you mean --json?"),
        (
            ["budget", "--zzz=1"],
            "dev.py budget has no option '--zzz'; dev.py budget --help lists them.",
        ),
        (
            ["budget", "more"],
            "dev.py budget has no argument 'more'; dev.py budget --help lists them.",
        ),
        (
            ["budget", "--json=1"],
            (
                "dev.py budget: argument --json: ignored explicit argument '1';"
                " dev.py budget --help tells more."
            ),
        ),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_one_line(
    project: Project, arguments: list[str], complaint: str
) -> None:
    done = project.start(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{complaint}\n")
    assert not (project.root / ".venv").exists()


def test_a_verbs_help_installs_nothing(project: Project) -> None:
    done = project.start("budget", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: dev.py budget [-h] [--update] [--json]\n")
    assert not (project.root / ".venv").exists()


def test_arguments_and_the_working_directory_reach_the_tool(project: Project) -> None:
    done = project.start("run", "--event", "one event.json")
    assert done.stdout == f"run ['--event', 'one event.json'] {project.root.parent}\n"


def test_verbs_run_one_after_another(project: Project) -> None:
    done = project.start("types", "lint", "run")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["types", "lint", "run"]
    assert done.returncode == 0


def test_the_first_failing_verb_ends_the_chain_with_its_status(project: Project) -> None:
    project.tool("types", status=7)
    done = project.start("lint", "types", "run")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["lint", "types"]
    assert done.returncode == 7


def test_a_tool_that_was_killed_gives_the_shells_status(project: Project) -> None:
    text = "import os\nif __name__ == '__main__':\n    os.kill(os.getpid(), 9)\n"
    (project.root / "tools" / "lint.py").write_text(text)
    assert project.start("lint").returncode == 128 + 9


def test_a_group_is_installed_once_with_all_that_it_includes(project: Project) -> None:
    project.start("types")
    assert project.installed()[0] == "stub-types==1 stub-test==1 stub-run==1 stub-build==1"
    assert project.stamps() == {"build", "run", "test", "types", "packages"}
    project.start("types")
    project.start("run")  # part of types
    assert project.installed() == []


def test_run_installs_no_test_tools(project: Project) -> None:
    project.start("run")
    assert project.installed()[0] == "stub-run==1 stub-build==1"
    project.start("lint")  # keeps what is there
    assert project.installed() == ["stub-lint==1"]
    assert project.stamps() == {"build", "run", "lint", "packages"}


@pytest.mark.parametrize("file", ["pyproject.toml", "packages/cores/pyproject.toml"])
def test_a_changed_project_is_installed_again(project: Project, file: str) -> None:
    project.package("cores")
    project.start("lint")
    project.installed()
    with (project.root / file).open("a") as stream:
        stream.write("# changed\n")
    project.start("lint")
    assert project.installed() == [
        "stub-lint==1",
        f"--no-build-isolation --no-deps -e {project.root}/packages/cores",
    ]


def test_a_changed_extension_is_compiled_again(project: Project) -> None:
    project.package("fastpath_ext")
    project.start("lint")
    project.installed()
    source = project.root / "packages" / "fastpath_ext" / "src" / "_store.pyx"
    source.parent.mkdir()
    source.write_text("")
    project.start("lint")
    assert project.installed()[-1].endswith("packages/fastpath_ext")
    project.start("lint")
    project.start("lint", THRIFTGATE_PURE="1")  # what is compiled serves the pure path too
    assert project.installed() == []


def test_an_extension_that_does_not_compile_is_done_without(project: Project) -> None:
    project.package("fastpath_ext")
    done = project.start("lint", FAIL="fastpath_ext", CC="no-such-compiler")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == (
        "note: going on in pure Python, without the extension (no C compiler was found;"
        " install gcc or clang and run this again to have it)."
    )
    assert "packages" in project.stamps()


def test_a_required_extension_needs_a_compiler(project: Project) -> None:
    project.package("fastpath_ext")
    done = project.start("lint", THRIFTGATE_REQUIRE_EXTENSIONS="1", CC="no-such-compiler")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "dev.py: THRIFTGATE_REQUIRE_EXTENSIONS is set and no C compiler was found. Install gcc or"
        " clang (on Debian: sudo apt install gcc python3-dev) or unset the variable."
    )
    assert "packages" not in project.stamps()


def test_a_required_extension_that_does_not_compile_is_an_error(project: Project) -> None:
    project.package("fastpath_ext")
    done = project.start(
        "lint", THRIFTGATE_REQUIRE_EXTENSIONS="1", CC="sh", FAIL="fastpath_ext", SAY="line 1: error"
    )
    assert done.returncode == 1
    assert done.stderr.endswith("installation.log:\n  line 1: error\n")
    assert "packages" not in project.stamps()


def test_a_failed_installation_is_repeated(project: Project) -> None:
    assert project.start("lint", FAIL="stub-lint").returncode == 1
    assert project.stamps() == set()
    project.installed()
    assert project.start("lint").returncode == 0
    assert project.installed() == ["stub-lint==1"]


def test_an_unreachable_index_is_one_paragraph(project: Project) -> None:
    done = project.start("lint", FAIL="stub-lint", SAY="error: Failed to fetch: https://x.example")
    assert done.returncode == 1
    log = project.root / ".venv" / "installation.log"
    assert " ".join(done.stderr.split()).partition("dev.py: ")[2] == (
        "installing what lint needs (1 requirements) failed. The package index could not be"
        " reached. Check the network connection and the proxy (HTTPS_PROXY), or name another index"
        " in PIP_INDEX_URL (pip) or UV_INDEX_URL (uv), then run the same command again; what was"
        f" downloaded is kept. The installer's own words are in {log}."
    )


def test_an_interrupted_installation_leaves_no_stamp(project: Project, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(f"{gate}.started")
    os.mkfifo(f"{gate}.never")
    process = subprocess.Popen(
        [sys.executable, str(project.root / "dev.py"), "lint"],
        env=project.environment(GATE=str(gate)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert Path(f"{gate}.started").read_text() == "started\n"  # the installer is at work
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert printed.endswith("dev.py: interrupted; the same command goes on from here.\n")
    assert project.stamps() == set()


def test_an_environment_of_another_interpreter_is_made_again(project: Project) -> None:
    project.start("lint")
    (project.root / ".venv" / "made-by").write_text("another\n")
    done = project.start("lint")
    assert done.stderr.splitlines()[0] == (
        f"making .venv with Python {VERSION} (again: another interpreter or folder made the one"
        " that is there) ..."
    )
    assert project.installed() == ["stub-lint==1"] * 2


def test_a_checkout_that_was_moved_is_made_again(project: Project) -> None:
    project.start("lint")
    project.root = project.root.rename(project.root.with_name("another tree"))
    project.installed()
    assert project.start("lint").returncode == 0
    assert project.installed() == ["stub-lint==1"]


def test_a_linked_environment_is_replaced_and_its_target_kept(project: Project) -> None:
    elsewhere = project.root.with_name("elsewhere")
    elsewhere.mkdir()
    (project.root / ".venv").symlink_to(elsewhere)
    assert project.start("lint").returncode == 0
    assert list(elsewhere.iterdir()) == []
    assert not (project.root / ".venv").is_symlink()


OLD = """\
import runpy, sys
sys.version_info, sys.version = (3, 8, 10), "3.8.10 (main)"
sys.argv = ["dev.py", "test"]
runpy.run_path({path!r}, run_name="__main__")
"""


@pytest.mark.parametrize("is_there", [True, False])
def test_an_old_python_is_told_what_to_do(project: Project, *, is_there: bool) -> None:
    newer = project.programs / "python3.12"
    newer.write_text("#!/bin/sh\n" if is_there else "#!/bin/sh\nexit 1\n")
    newer.chmod(0o755)
    code = OLD.format(path=str(project.root / "dev.py"))
    done = project.start(code=code, PATH=str(project.programs))
    remedy = (
        "run it with python3.12, which works on this machine"
        if is_there
        else "install one from https://www.python.org/downloads/ or with: uv python install 3.13"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "dev.py needs Python 3.11 or newer and was started by 3.8.10"
        f" ({sys.executable}); {remedy}.\n"
    )


def test_dev_py_can_be_read_by_old_pythons() -> None:
    text = (ROOT / "dev.py").read_text()
    tree = ast.parse(text, feature_version=(3, 6))
    # A future import would be refused by 3.6 before the check of the version runs.
    assert not [
        node
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]


def test_a_python_that_makes_no_environments_is_explained(project: Project) -> None:
    (project.programs / "uv").unlink()
    code = f"""\
import runpy, sys
sys.modules["ensurepip"] = None
sys.argv = ["dev.py", "lint"]
sys.path[0] = {str(project.root)!r}
runpy.run_path({str(project.root / "dev.py")!r}, run_name="__main__")
"""
    done = project.start(code=code)
    minor = ".".join(VERSION.split(".")[:2])
    assert done.returncode == 1
    assert done.stderr == (
        "dev.py: this Python cannot make virtual environments, because its ensurepip or venv module"
        f" is missing. On Debian and Ubuntu run: sudo apt install python{minor}-venv. Or install uv"
        " (https://docs.astral.sh/uv/), which dev.py uses when it finds it on PATH.\n"
    )


def add_table(project: Project, name: str, status: int = 0) -> Path:
    """Add a benchmark and return the file of its requirements."""
    folder = project.root / "benchmarks"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(TOOL.format(verb=name, status=status))
    requirements = folder / f"requirements-{name}.txt"
    requirements.write_text("stub-peer==1\n")
    return requirements


def test_bench_runs_a_table_in_an_environment_of_its_own(project: Project) -> None:
    requirements = add_table(project, "cache", status=3)
    done = project.start("bench", "cache", "--json")
    assert (done.returncode, done.stdout) == (3, f"cache ['--json'] {project.root.parent}\n")
    assert project.installed() == [f"stub-build==1 -r {requirements}"]
    assert (project.root / ".venv-bench" / "cache" / "made-by").exists()
    assert not (project.root / ".venv").exists()


def test_bench_gives_each_table_the_options_with_their_values(project: Project) -> None:
    add_table(project, "cache", status=1)
    add_table(project, "dispatch")
    done = project.start("bench", "dispatch", "--seconds", "20", "--json", "a file", "--check")
    words = "['--seconds', '20', '--json', 'a file', '--check']"
    assert (done.returncode, done.stdout) == (0, f"dispatch {words} {project.root.parent}\n")
    done = project.start("bench", "--seconds", "20", "--json", "-")
    options = f"['--seconds', '20', '--json', '-'] {project.root.parent}\n"
    # A missed figure of one table keeps the others running.
    assert (done.returncode, done.stdout) == (1, f"cache {options}dispatch {options}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["cahce"], "dev.py bench has no table 'cahce'; did you mean cache?"),
        (
            ["--check", "cache"],
            "dev.py bench takes its tables before the options: bench cache --check",
        ),
        (
            ["--json", "file"],
            "dev.py bench writes one table to a file; name one table, or take --json - or --save",
        ),
        (
            ["cache", "dispatch", "--json=file"],
            "dev.py bench writes one table to a file; name one table, or take --json - or --save",
        ),
    ],
)
def test_a_bench_command_line_that_cannot_be_meant_is_one_line(
    project: Project, arguments: list[str], complaint: str
) -> None:
    add_table(project, "cache")
    add_table(project, "dispatch")
    done = project.start("bench", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{complaint}\n")


def test_help_of_bench_lists_the_tables_and_installs_nothing(project: Project) -> None:
    add_table(project, "dispatch")
    add_table(project, "cache")
    done = project.start("bench", "--help")
    assert done.returncode == 0
    assert "\ntables: cache, dispatch\n" in done.stdout
    assert project.installed() == []


def test_wheels_are_made_in_an_environment_without_the_packages(project: Project) -> None:
    project.package("cores")
    project.tool("wheels", status=3)
    assert project.start("wheels").returncode == 3
    assert project.installed() == ["stub-wheels==1 stub-build==1"]
    assert (project.root / ".venv-wheels" / "build" / "made-by").exists()
    assert not (project.root / ".venv").exists()


@pytest.mark.parametrize(("status", "word"), [(0, "passed"), (77, "skipped"), (1, "failed")])
def test_ci_runs_every_step_and_sums_up(project: Project, status: int, word: str) -> None:
    for verb in ("lint", "budget", "live"):
        project.tool(verb)
    (project.root / "tools" / "test.py").write_text("def is_compiled(environment): return False\n")
    project.tool("types", status)
    done = project.start("ci", PATH=str(project.programs))  # so there is no valgrind
    summary = [line.split()[:2] for line in done.stdout.splitlines()[-7:]]
    assert summary == [
        ["lint", "passed"],
        ["types", word],
        ["test", "passed"],
        ["coverage", "skipped"],
        ["budget", "skipped"],
        ["live", "passed"],
        ["sanitize", "skipped"],
    ]
    assert done.returncode == (word == "failed")
