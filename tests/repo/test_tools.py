from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tools import instructions
from tools.budget import judge
from tools.installation import explain
from tools.options import Parser
from tools.test import absolute, count_executed

if TYPE_CHECKING:
    from pathlib import Path


def test_a_budget_within_limit_and_baseline_has_no_fault() -> None:
    rows, faults = judge(
        {"pure": {"import_gateway": 1.021, "bridge": 1.9}},
        {"pure": {"import_gateway": 1.02, "bridge": 1.9}},
    )
    assert rows == [
        "x bare handler              path           now  baseline   limit",
        "import_gateway              pure        1.0210      1.02   1.025",
        "bridge                      pure        1.9000       1.9       -",
    ]
    assert faults == []


def test_a_budget_over_its_limit_is_a_fault_without_a_baseline() -> None:
    _, faults = judge({"pure": {"handler": 1.09}, "compiled": {"handler": 1.07}}, {})
    assert faults == ["handler (pure) costs 1.09 x bare, and may cost 1.08"]


def test_a_budget_over_its_baseline_is_a_fault() -> None:
    _, faults = judge({"compiled": {"bridge": 2.02}}, {"compiled": {"bridge": 2.0}})
    assert faults == [
        (
            "bridge (compiled) rose from 2.0 to 2.02 x bare; look for a new import with"
            " -X importtime, or accept it with: dev.py budget --update"
        )
    ]


def test_a_budget_that_fell_is_worth_keeping() -> None:
    rows, faults = judge({"pure": {"bridge": 1.9}}, {"pure": {"bridge": 2.0}})
    assert rows[-1] == "  bridge fell from 2.0: keep it with dev.py budget --update"
    assert faults == []


@pytest.mark.skipif(instructions.counter() is None, reason="nothing here counts instructions")
def test_a_counted_process_that_fails_is_an_error() -> None:
    count = instructions.counter()
    assert count is not None
    with pytest.raises(instructions.CountingError, match=r"^planted$"):
        count([sys.executable, "-c", "import sys; sys.exit('planted')"], {})


def test_no_counter_without_its_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert instructions.counter() is None


def test_executed_tests_are_counted_by_folder(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text("""\
<testsuites><testsuite>
<testcase classname="tests.cores.test_cache" name="a"/>
<testcase classname="tests.cores.test_cache" name="b"><failure/></testcase>
<testcase classname="tests.cores.test_cache" name="c"><skipped/></testcase>
<testcase classname="tests.gateway.test_lazy.TestIt" name="d"/>
</testsuite></testsuites>
""")
    assert count_executed([report]) == {"cores": 2, "gateway": 1}


def test_a_test_is_found_from_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_one.py").touch()
    assert absolute("test_one.py") == f"{tmp_path}/test_one.py"
    assert absolute("test_one.py::test_it") == f"{tmp_path}/test_one.py::test_it"
    assert absolute("-k") == "-k"


def test_a_failure_without_a_known_cause_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(20)))
    shown = "".join(f"\n  line {number}" for number in range(8, 20))
    assert explain("compiling", log) == f"compiling failed. The end of {log}:{shown}"


def test_a_parser_that_passes_on_leaves_what_it_does_not_know() -> None:
    _, rest = Parser("types", "", passes_on=True).parse_known_args(["--strict", "file.py"])
    assert rest == ["--strict", "file.py"]


def test_what_is_no_installer_has_no_installers_reason(tmp_path: Path) -> None:
    log = tmp_path / "tests.log"
    log.write_text("FAILED test_http.py - urllib3.exceptions.ReadTimeoutError\n")
    assert explain("testing", log, {}) == (
        f"testing failed. The end of {log}:\n"
        "  FAILED test_http.py - urllib3.exceptions.ReadTimeoutError"
    )
