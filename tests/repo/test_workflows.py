from __future__ import annotations

import re
import shlex
from pathlib import Path

import dev
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Besides dev.py a workflow may install programs that no Python package brings.
SYSTEM = re.compile(r"sudo apt-get (?:update|install [\w. -]+)")


def steps(workflow: Path) -> list[dict[str, str]]:
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return [step for job in document["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow() -> None:
    assert "ci.yml" in {workflow.name for workflow in WORKFLOWS}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_calls_dev_py_only(workflow: Path) -> None:
    for step in steps(workflow):
        for line in step.get("run", "").splitlines():
            if not SYSTEM.fullmatch(line):
                python, script, *words = shlex.split(line)
                assert (python, script) == ("python3", "dev.py")
                assert dev.parse(words)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_actions_are_pinned_by_hash(workflow: Path) -> None:
    for step in steps(workflow):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_has_no_permission_by_default(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert document["permissions"] == {}


def test_the_ci_hook_calls_dev_py() -> None:
    hook = ROOT / ".ci" / "run"
    assert hook.stat().st_mode & 0o111
    assert hook.read_text().splitlines()[-1] == 'exec python3 dev.py ci "$@"'
