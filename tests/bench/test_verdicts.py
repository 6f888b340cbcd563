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
    assert summary["ratios"]["scoregate/cheaper"] == {"peer": "nginx", "median": 0.5, "min": 0.5, "max": 1.2}
    assert summary["ratios"]["scoregate/haproxy"]["median"] == 0.1
    [judged] = marks.judge(row, summary)
    assert (judged["bar_met"], judged["goal_met"]) == (True, False)
    assert not marks.missed({"some": [judged]})

    dearer = report.summarise(row, {"scoregate": rounds["haproxy"], "nginx": rounds["nginx"]})
    assert marks.missed({"some": marks.judge(row, dearer)})
    assert marks.judge(row, report.summarise(row, {"nginx": rounds["nginx"]})) == []


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
