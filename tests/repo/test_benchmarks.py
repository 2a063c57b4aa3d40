from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks import cache, caches, dispatch, figures, measure, page, report
from benchmarks.figures import Figure
from benchmarks.naive import CacheCore, Gateway, Interface
from benchmarks.traces import TRACES

import fastpath_ext

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Table


def test_a_figure_passes_at_its_limit_and_misses_beyond() -> None:
    assert Figure("hit", 1.3, 1.3, "x").verdict == "PASS"
    assert Figure("hit", 1.31, 1.3, "x").verdict == "MISS"
    assert Figure("door", 8, 8, "x", at_least=True).verdict == "PASS"
    assert Figure("door", 7.9, 8, "x", at_least=True).verdict == "MISS"


def test_a_figure_that_was_not_measured_is_missed_unless_it_is_not_judged() -> None:
    assert Figure("hit", None, 1.3, "x").verdict == "MISS"
    assert Figure("hit", None, 1.3, "x", is_judged=False).verdict == "INFO"


def test_a_line_names_value_bound_note_and_conditions() -> None:
    figure = Figure("file", 73696, 80000, "bytes", "stripped")
    assert figure.line("CPython 3.11.2, PGO") == (
        "PASS  file: 73,696 bytes, at most 80,000; stripped [CPython 3.11.2, PGO]"
    )
    figure = Figure("door", None, 8, "x", "no extension", at_least=True)
    assert figure.line("pure") == "MISS  door: not measured, at least 8; no extension [pure]"
    figure = Figure("across", 1.2, 1, "x", is_judged=False)
    assert figure.line("CPython") == "INFO  across: 1.2 x [CPython]"


TIMES: Table = {
    "own": {"hit": 10.0, "set": 20.0},
    "quick": {"hit": 11.0},
    "slow": {"hit": 30.0, "set": 25.0},
}


def test_ahead_takes_the_column_with_the_nearest_peer() -> None:
    figure = figures.ahead("ahead", TIMES, "own", ("quick", "slow"))
    assert (figure.value, figure.verdict) == (0.909, "PASS")
    assert figure.note == "nearest: hit 10.0 to 11.0 of quick"


@pytest.mark.parametrize(("number", "value"), [(20.0, 1.0), (16.0, 1.25)])
def test_a_tie_or_a_lost_column_is_a_miss_that_is_named(number: float, value: float) -> None:
    table = {**TIMES, "slow": {"hit": 30.0, "set": number}}
    figure = figures.ahead("ahead", table, "own", ("quick", "slow"))
    assert (figure.value, figure.verdict) == (value, "MISS")
    assert figure.note == f"behind: set 20.0 to {number} of slow"


def test_minima_takes_the_least_of_each_part() -> None:
    turns = iter([[3e-9, 1e-9], [2e-9, 5e-9]])
    assert measure.minima({"case": (lambda: next(turns), 2)}, 0) == {"case": pytest.approx(1.5)}


def test_columns_are_in_the_order_of_the_fullest_row() -> None:
    table = {"dict": {"b": 1.0}, "own": {"a": 1.0, "b": 1.0}, "peer": {"c": 1.0}}
    assert report.columns_of(table) == ["a", "b", "c"]


def test_least_takes_each_number_from_the_run_where_it_is_smallest() -> None:
    runs: list[Table] = [{"a": {"hit": 2.0, "set": 5.0}}, {"a": {"hit": 3.0, "set": 4.0}}]
    assert measure.least(runs) == {"a": {"hit": 2.0, "set": 4.0}}


def test_show_aligns_the_numbers_and_marks_what_is_missing() -> None:
    text = report.show("ns", {"dict": {"hit": 16.2}, "theine": {"hit": 1784.4, "set": 9.0}})
    assert text.splitlines() == [
        "ns",
        "               hit       set",
        "dict          16.2         -",
        "theine     1,784.4       9.0",
    ]


def test_a_timed_loop_sees_each_key_and_its_names() -> None:
    seen: list[object] = []
    loop = measure.timed_loop("case", {"f": seen.append}, "for k in keys: f(k)")
    assert loop([1, 2]) >= 0
    other: list[object] = []
    loop([3], f=other.append)
    assert (seen, other) == ([1, 2], [3])


def results(**table: float) -> dict[str, Any]:
    judged = [Figure("hit", 1.2, 1.3, "x dict.get", "12 to 10 ns")]
    conditions = report.conditions(clock="exact clock", versions={"peer": "1.0"})
    conditions |= {"implementation": "CPython", "python": "3.11.2", "build": "not PGO"}
    return report.document("cache", conditions, {"ns": {"Store": table}}, judged)


def test_a_report_names_what_a_verdict_rests_on_and_that_it_is_no_pgo_build(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report.report(results(hit=12.0), None)
    printed = capsys.readouterr().out.splitlines()
    assert "  versions: peer 1.0" in printed
    assert printed[-2] == (
        "PASS  hit: 1.2 x dict.get, at most 1.3; 12 to 10 ns [CPython 3.11.2, not PGO, exact clock]"
    )
    assert printed[-1].startswith("This interpreter was built without PGO")


def test_a_report_as_json_is_one_document(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report.report(results(hit=12.0), "-")
    assert json.loads(capsys.readouterr().out) == results(hit=12.0)
    report.report(results(hit=12.0), str(tmp_path / "file"))
    assert json.loads((tmp_path / "file").read_text()) == results(hit=12.0)
    assert "PASS  hit" in capsys.readouterr().out


@pytest.mark.parametrize(("check", "status"), [(True, 1), (False, 0)])
def test_a_miss_is_the_exit_status_only_if_asked_for(check: bool, status: int) -> None:
    missed = results(hit=12.0) | {"figures": [{"verdict": "MISS"}], "tables": {}}
    options = argparse.Namespace(json="-", check=check, save=False, redraw=False)
    assert report.conclude("cache", lambda: missed, options) == status


@pytest.mark.parametrize("table", [cache, dispatch])
def test_the_options_of_a_table(table: Any) -> None:
    options = table.parser().parse_args(["--seconds", "3.5", "--json", "--check"])
    assert (options.seconds, options.json, options.check) == (3.5, "-", True)
    options = table.parser().parse_args(["--json", "a file", "--save"])
    assert (options.json, options.check, options.save) == ("a file", False, True)
    assert table.parser().parse_args([]).json is None


@pytest.mark.parametrize("table", [cache, dispatch])
@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "ten"])
def test_a_time_for_the_loops_is_above_zero(
    table: Any, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        table.parser().parse_args(["--seconds", text])
    name = table.parser().prog
    assert capsys.readouterr().err == (
        f"{name}: argument --seconds: it takes a number of seconds above 0, not {text!r};"
        f" {name} --help tells more.\n"
    )


@pytest.mark.parametrize("text", ["0", "-5", "2.5"])
def test_a_number_of_rounds_is_whole_and_above_zero(text: str) -> None:
    assert report.count("3") == 3
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"^it takes a whole number above 0, not '"
    ):
        report.count(text)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--check"], "--check"),
        (["--json"], "--json"),
        (["--save", "--no-count"], "--no-count, --save"),
        (["--seconds", "3"], "--seconds"),
    ],
)
def test_redraw_refuses_what_it_would_ignore(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch.parser().parse_args(["--redraw"]).redraw
    with pytest.raises(SystemExit, match=r"^2$"):
        dispatch.parser().parse_args(["--redraw", *words])
    assert capsys.readouterr().err == (
        f"dev.py bench dispatch: --redraw measures nothing, so it cannot be combined with {named};"
        " dev.py bench dispatch --help tells more.\n"
    )


@pytest.mark.parametrize("table", ["cache", "dispatch"])
def test_a_parser_is_read_without_an_environment(table: str) -> None:
    code = "import sys; sys.path.insert(0, sys.argv.pop()); from benchmarks import {0} as table"
    code += "; table.parser().parse_args(['--no-such-option'])"
    command = [sys.executable, "-I", "-S", "-c", code.format(table), str(measure.ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"dev.py bench {table} has no option '--no-such-option'")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_stays_on_one_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    measure.show_progress("round", 1, 2)
    measure.show_progress("round", 2, 2)
    assert terminal.getvalue() == "\r\033[Kround 1 of 2\r\033[Kround 2 of 2\n"


def test_progress_is_rare_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 13):
        measure.show_progress("round", number, 12)
    assert capsys.readouterr().err == "round 10 of 12\nround 12 of 12\n"


def test_a_worker_takes_a_turn_for_each_line_and_ends_with_its_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("again\nagain\nend\n"))
    monkeypatch.setattr(caches, "SLICE", 0)
    measure.work("caches", "times_in_turns", ["dict", 20])
    *turns, answer = capsys.readouterr().out.splitlines()
    assert turns == ["done", "done"]
    assert set(json.loads(answer)) >= {"hit", "overwrite", "empty"}


HITS: Table = {
    "Store, 200 of 20,000": {"zipf": 42.9, "loop": 24.9},
    "s3fifo Store, 200 of 20,000": {"zipf": 52.7, "loop": 23.0},
    "theine, 200 of 20,000": {"zipf": 1.0, "loop": 1.0},
}


def test_the_hit_ratio_is_judged_on_the_worst_trace() -> None:
    figure = cache.hit_ratio_figure(HITS)
    assert (figure.value, figure.verdict) == (1.9, "MISS")
    assert figure.note == "worst on loop, 200 of 20,000"


def test_an_import_is_judged_by_ratio_and_missed_without_an_extension() -> None:
    imports = {
        "extension": {"us": 120.0, "bytes": 80_001.0, "modules": 0.0},
        "empty extension": {"us": 83.0},
    }
    judged = cache.start_up_figures(imports)
    assert [it.verdict for it in judged] == ["PASS", "INFO", "PASS", "MISS"]
    assert judged[1].line("PGO") == (
        "INFO  import of the extension, as a time: 120 us; 120 where an empty one takes 83 [PGO]"
    )
    assert [it.verdict for it in cache.start_up_figures({})] == ["MISS"]


HIT_TIMES: Table = {
    "dict": {"hit": 10.0},
    "Store, TTL": {"hit": 13.0},
    "pure Store, TTL": {"hit": 165.0},
    cache.LAST_SECOND: {"hit": 40.0},
}


def test_a_hit_is_judged_by_ratio_with_1_000_entries_and_told_otherwise() -> None:
    tables = {cache.TIMES.format(entries): HIT_TIMES for entries in cache.SIZES}
    assert [(it.name, it.value, it.verdict) for it in cache.hit_figures(tables)] == [
        ("hit of Store, TTL, 1,000 entries", 1.3, "PASS"),
        ("hit of Store, TTL, 100,000 entries", 1.3, "INFO"),
        ("hit of pure Store, TTL, 1,000 entries", 16.5, "MISS"),
        ("hit of pure Store, TTL, 100,000 entries", 16.5, "INFO"),
        ("hit of Store, TTL, last second, 1,000 entries", 4.0, "INFO"),
        ("hit of pure Store, TTL, 1,000 entries, as a time", 165.0, "INFO"),
    ]


def test_a_last_second_ends_with_a_second_of_the_clock() -> None:
    now = time.time()
    end = now + caches.last_second()
    # It may have waited until the next second had begun.
    assert int(now) < end < int(now) + 2


@pytest.mark.skipif(not fastpath_ext.COMPILED, reason="the row is the compiled engine's")
def test_a_pass_in_the_last_second_hits() -> None:
    cases = caches.Cases(cache.LAST_SECOND, 20)
    assert set(cases.loops) == {"hit", caches.EMPTY, caches.EMPTY_ZIPF}
    cases.cache.clear()
    cases.run("hit")
    assert cases.cache.stats()["hits"] >= 20


CALLS: Table = {
    dispatch.DIRECT: {"ns": 16.0},
    dispatch.HANDLE: {"ns": 24.0},
    f"{dispatch.DIRECT}, of a module": {"ns": 18.0},
    f"{dispatch.HANDLE}, of the module": {"ns": 39.0},
    dispatch.PYTHON_DIRECT: {"ns": 12.0},
    dispatch.PYTHON_HANDLE: {"ns": 30.0},
    dispatch.DOOR_TARGET: {"ns": 50.0},
    dispatch.NAIVE_TARGET: {"ns": 390.0},
    dispatch.DOOR_CACHE: {"ns": 40.0},
    dispatch.NAIVE_CACHE: {"ns": 680.0},
    dispatch.NAIVE_COMPILED: {"ns": 460.0},
}


def test_handles_are_judged_by_difference_and_the_door_by_ratio() -> None:
    state = {"path": "compiled", "reason": "", "has_handles": True}
    judged = dispatch.judge(CALLS, state)
    assert [(it.value, it.verdict) for it in judged] == [
        (8.0, "PASS"),
        (21.0, "INFO"),
        (18.0, "INFO"),
        (7.8, "MISS"),
        (11.5, "PASS"),
        (17.0, "INFO"),
    ]


def test_both_paths_are_judged_by_figures_of_the_same_names() -> None:
    compiled = dispatch.judge(CALLS, {"path": "compiled", "reason": "", "has_handles": True})
    pure = dispatch.judge({}, {"path": "pure", "reason": "no compiler"})
    assert [(it.name, it.unit) for it in compiled if it.is_judged] == [
        (it.name, it.unit) for it in pure
    ]


def test_the_compiled_path_is_known_to_have_handles() -> None:
    state = measure.child("calls", "state")
    assert state["has_handles"] == (state["path"] == "compiled")


def test_the_pure_path_misses_the_figures_of_the_compiled_one_and_says_why() -> None:
    judged = dispatch.judge({}, {"path": "pure", "reason": "no compiler"})
    assert [it.verdict for it in judged] == ["MISS"] * 3
    assert {it.note for it in judged} == {"the compiled path does not run: no compiler"}


def test_the_naive_design_does_what_a_gateway_does() -> None:
    gateway = Gateway({Interface.CACHE: CacheCore({"key": 1})})
    assert gateway.execute_operation(Interface.CACHE, "get", key="key") == 1
    assert gateway.execute_operation(Interface.CACHE, "get", key="none", default=2) == 2
    with pytest.raises(ValueError, match=r"^unknown operation: put$"):
        gateway.execute_operation(Interface.CACHE, "put", key="key")
    with pytest.raises(ValueError, match=r"^unknown interface: Interface\.TARGET$"):
        gateway.execute_operation(Interface.TARGET, "get", key="key")


class Key:
    """A key that counts how often it is looked up."""

    hashed = 0

    def __hash__(self) -> int:
        self.hashed += 1
        return 1


def test_the_naive_design_looks_its_key_up_once() -> None:
    key: Any = Key()
    gateway = Gateway({key: CacheCore({"key": 1})})
    key.hashed = 0
    assert gateway.execute_operation(key, "get", key="key") == 1
    assert key.hashed == 1


@pytest.mark.parametrize("trace", TRACES)
def test_a_trace_is_the_same_at_each_run(trace: str) -> None:
    first, second = TRACES[trace](100), TRACES[trace](100)
    assert [next(first) for _ in range(200)] == [next(second) for _ in range(200)]


def test_a_page_gets_its_tables_from_the_results() -> None:
    old = results(hit=12.0, set=1234.5)
    new = results(hit=13.0) | {"figures": [{**old["figures"][0], "value": 1.4}]}
    text = page.refresh(
        "<!-- cache ns -->\nold\n<!-- end -->\n<!-- cache figures -->\n<!-- end -->\n"
        "<!-- dispatch ns -->\nkept\n<!-- end -->\n",
        {"cache": {"3.9": old, "3.11": new}},
    )
    assert text.splitlines() == [
        "<!-- cache ns -->",
        "",
        "| 3.9 / 3.11 | hit | set |",
        "| --- | --- | --- |",
        "| Store | 12.0 / 13.0 | 1,234.5 / - |",
        "",
        "<!-- end -->",
        "<!-- cache figures -->",
        "",
        "| figure | bound | 3.9 | 3.11 |",
        "| --- | --- | --- | --- |",
        "| hit (x dict.get) | at most 1.3 | 1.2 PASS | 1.4 **MISS** (12 to 10 ns) |",
        "",
        "<!-- end -->",
        "<!-- dispatch ns -->",
        "kept",
        "<!-- end -->",
    ]


def test_the_name_of_a_table_may_have_a_hyphen() -> None:
    text = "<!-- cache start-up -->\n<!-- end -->\n"
    run = results() | {"tables": {"start-up": {"extension": {"us": 120.0}}}}
    assert "| extension | 120.0 |" in page.refresh(text, {"cache": {"3.11": run}})


def test_each_table_of_the_committed_results_is_on_the_page_once() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    markers = [line for line in text.splitlines() if line.startswith("<!--") and line != page.END]
    found = [f"<!-- {it[1]} {it[2]} -->" for it in page.BLOCK.finditer(text)]
    assert found == markers
    assert text.count(page.END) == len(markers)
    wanted = [
        {f"<!-- {name} {title} -->" for title in ("conditions", "figures", *run["tables"])}
        for name, runs in page.load().items()
        for run in runs.values()
    ]
    assert sorted(markers) == sorted(set().union(*wanted))


def test_the_page_shows_the_committed_results() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.refresh(text, page.load()) == text, "run: dev.py bench cache dispatch --redraw"
