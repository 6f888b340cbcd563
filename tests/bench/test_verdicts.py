"""What the bench makes of its figures: ratios, bars and goals, the verdict of bench/compare, the picture of bench/chart."""
import json
import re
import runpy
import subprocess
import xml.etree.ElementTree

import pytest
from test_peers import servers

from harness import calls, marks, report, rows

BENCH = servers.ROOT / "bench"


def test_ratios_are_taken_within_rounds_and_held_to_bar_and_goal():
    class Some(rows.Row):
        figures = ("cpu_us",)

    row = Some("some", "", marks=(rows.Mark("CPU", rows.CHEAPER, goal=0.4),))
    rounds = {"scoregate": [10, 20, 60], "nginx": [20, 40, 50], "haproxy": [200, 200, 200]}
    rounds = {name: [{"cpu_us": value} for value in values] for name, values in rounds.items()}
    summary = report.summarise(row, rounds)
    assert summary["ratios"]["scoregate/cheaper"] == {"peer": "nginx", "median": 0.5, "min": 0.5, "max": 1.2, "certain": None}
    assert summary["ratios"]["scoregate/haproxy"]["median"] == 0.1
    [judged] = marks.judge(row, summary)
    assert (judged["bar_met"], judged["goal_met"]) == (True, False)
    assert not marks.missed({"some": [judged]})

    dearer = report.summarise(row, {"scoregate": rounds["haproxy"], "nginx": rounds["nginx"]})
    assert marks.missed({"some": marks.judge(row, dearer)})
    assert marks.judge(row, report.summarise(row, {"nginx": rounds["nginx"]})) == []


def turns(ours, nginx, others=0.0, late=0.0):
    """The summary and the marks of a row that is judged only where its turns tell."""
    class Some(rows.Row):
        figures = ("p99_us", "others", "late_us")
        compared = {"": "p99_us"}

    row = Some("some", "", marks=(rows.Mark("p99", rows.CHEAPER, goal=0.5, if_resolved=True, late=("late_us", "p99_us")),))
    rounds = {name: [{"p99_us": value, "others": others, "late_us": late} for value in values]
              for name, values in (("scoregate", ours), ("nginx", nginx))}
    summary = report.summarise(row, rounds)
    [judged] = marks.judge(row, summary)
    return summary, judged


@pytest.mark.parametrize("ours, bar, goal", [
    ([0.8, 0.9, 0.7, 0.8, 0.9, 0.8], True, False),
    ([1.2, 1.1, 1.3, 1.2, 1.1, 1.4], False, False),
    ([0.3, 0.4, 0.2, 0.3, 0.4, 0.3], True, True),
    ([0.9, 0.8, 1.1, 0.9, 0.8, 0.7], "not resolved", False),  # of six, all have to say so
    ([0.9, 0.8, 9.0, 0.9, 0.8, 0.7, 0.9, 0.8, 0.9], True, False),  # of nine, one may be odd on each side
    ([0.9, 0.8, 9.0, 2.0, 0.8, 0.7, 0.9, 0.8, 0.9], "not resolved", False),
    ([0.4, 0.8, 0.4, 0.6, 0.4, 0.4], True, "not resolved"),
    ([0.1, 0.1, 0.1, 0.1, 0.1], "not resolved", "not resolved"),  # five cannot tell
    ([9.0], "not resolved", "not resolved"),
])
def test_a_bar_is_neither_met_nor_missed_where_the_turns_do_not_tell(ours, bar, goal):
    summary, judged = turns(ours, [1.0] * len(ours))
    assert (judged["bar_met"], judged["goal_met"]) == (bar, goal)
    assert marks.missed({"some": [judged]}) == (bar is False)
    assert marks.unresolved({"some": [judged]}) == (["some: p99"] if bar == "not resolved" else [])
    told = marks.describe({"some": [judged]})
    assert {True: "1.00 met", False: "1.00 MISSED"}.get(bar, "1.00 not resolved") in told
    json.dumps([summary, judged])


def test_a_bar_is_not_judged_on_a_core_that_others_use():
    assert turns([0.8] * 6, [1.0] * 6, others=0.02)[1]["bar_met"] is True
    assert turns([0.8] * 6, [1.0] * 6, others=0.3)[1]["bar_met"] == "not resolved"


def test_a_bar_is_not_judged_where_the_load_was_late():
    assert turns([0.8] * 6, [1.0] * 6, late=0.3)[1]["bar_met"] is True
    assert turns([0.8] * 6, [1.0] * 6, late=0.45)[1]["bar_met"] == "not resolved"  # of 0.8 more than half


def test_other_rows_are_judged_by_their_median_whatever_their_spread():
    class Some(rows.Row):
        figures = ("cpu_us",)

    row = Some("some", "", marks=(rows.Mark("CPU", rows.CHEAPER),))
    rounds = {"scoregate": [{"cpu_us": each} for each in (1, 2, 3)], "nginx": [{"cpu_us": 1.9}] * 3}
    [judged] = marks.judge(row, report.summarise(row, rounds))
    assert judged["bar_met"] is False and "certain" not in judged


@pytest.mark.parametrize("count, outermost", [(5, None), (6, 1), (8, 1), (9, 2), (15, 4), (25, 8)])
def test_what_the_median_is_certain_to_be_between(count, outermost):
    """Tables of the sign test."""
    between = report.certain(range(count, 0, -1))
    assert between == (outermost and (outermost, count + 1 - outermost))


def test_system_calls_are_read_from_strace():
    summary = """strace: ...
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 62.50    0.000500           5       100        40 recvfrom
 37.50    0.000300           3       100           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000800           4       200        40 total
"""
    assert calls.parse(summary) == {"recvfrom": 100, "sendto": 100}


@pytest.mark.parametrize("ratios, verdict", [
    ([0.99, 1.00, 1.01, 1.02, 1.00], "the same"),
    ([1.04, 1.05, 1.06, 1.05, 1.04], "worse"),
    ([0.99, 1.05, 1.06, 1.05, 1.04], "worse"),  # one odd turn
    ([0.98, 1.00, 1.05, 1.09, 1.10], "the same"),  # a median of 5 % alone says nothing
    ([0.90, 0.92, 0.91, 1.10, 0.90], "better"),
])
def test_a_change_is_worse_only_if_the_spread_says_so(ratios, verdict):
    assert runpy.run_path(str(BENCH / "compare"))["judge"](ratios) == verdict


def drawn(result, directory):
    picture = directory / "picture.svg"
    subprocess.run([BENCH / "chart", result, picture], check=True)
    return picture.read_text()


def test_the_picture_has_a_bar_for_each_figure(tmp_path):
    def of(ours, theirs):
        return {"figures": {"scoregate": {"cpu_us": {"median": ours}}, "nginx": {"cpu_us": {"median": theirs}}},
                "ratios": {"scoregate/cheaper": {"peer": "nginx", "median": ours / theirs, "min": 0.5, "max": 3.0}}}
    result = {"date": "2026-01-01T00:00:00Z", "commit": "abc", "machine": {"cpu": "<One & Only>", "cores": 2}, "rounds": 3,
              "versions": {"nginx": "1.22.1"},
              "rows": {"keepalive": of(17.0, 20.0), "handshake": of(300.0, 200.0), "keys": of(1, 1)}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    text = drawn(tmp_path / "result.json", tmp_path)
    xml.etree.ElementTree.fromstring(text)
    assert text.count('<rect class="scoregate"') == text.count('<rect class="nginx"') == 3  # two rows, one in the legend
    assert "17.0 µs (0.85 ×)" in text and "300 µs (1.50 ×)" in text and "20.0 µs" in text


def test_the_picture_in_the_readme_is_that_of_a_run_that_was_kept(tmp_path):
    shown = (servers.ROOT / "docs" / "performance.svg").read_text()
    date, commit = re.search(r"(\d{4}-\d\d-\d\d), commit (\S+);", shown).groups()
    [result] = (BENCH / "results").glob(f"{date.replace('-', '')}-*-{commit}.json")
    assert drawn(result, tmp_path) == shown
