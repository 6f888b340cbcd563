"""Rules, their tests, dashboard and pages: each names only what the others have. docs/metrics.md stands for the code; the
architecture test in C++ holds the two together.

    /usr/bin/python3 -m pytest tests/architecture
"""
import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import monitoring  # noqa: E402

METRICS = monitoring.documented()
RECORDED = {rule["record"]: rule["expr"] for rule in monitoring.rules() if "record" in rule}
RULES = {rule.get("alert") or rule["record"]: rule["expr"] for rule in monitoring.rules()}
PANELS = monitoring.panels()
EXPRESSIONS = [*RULES.values(), *monitoring.questions(), *(query for queries in PANELS.values() for query in queries)]
OF_PROMETHEUS = {"job", "instance", "le"}


def promtool(*arguments, cwd=None):
    done = subprocess.run(["promtool", *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def family(name):
    short = re.sub(r"_(bucket|sum|count)$", "", name)
    return short if METRICS.get(short, {}).get("type") == "histogram" else name


def test_there_is_something_to_look_at():
    assert len(METRICS) > 40 and len(monitoring.questions()) > 8 and len(PANELS) > 20
    assert monitoring.metrics_of('rate(a_b{x="scoregate_no"}[5m]) / scoregate_x{y!="1", z=~"2"}') == {"scoregate_x": {"y", "z"}}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_there(expression):
    asked = monitoring.metrics_of(expression)
    assert asked or expression == RULES["ScoregateDown"]  # which is about Prometheus' own `up`
    for name, labels in asked.items():
        if name in RECORDED:
            continue
        assert family(name) in METRICS, f"docs/metrics.md has no {name}"
        assert name == family(name) or METRICS[family(name)]["type"] == "histogram"
        assert labels <= METRICS[family(name)]["labels"] | OF_PROMETHEUS, name


def test_docs_name_the_alerts_of_each_metric():
    uses = {name: set() for name in METRICS}
    for name, alert in monitoring.alerts().items():
        for metric in monitoring.metrics_of(alert["expr"], RECORDED):
            uses[family(metric)].add(name)
    assert {name: metric["alerts"] for name, metric in METRICS.items()} == uses


def test_every_alert_says_what_and_where_to_read_on():
    sections = re.findall(r"^## (\w+)$", monitoring.ALERTS_PAGE.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(monitoring.alerts())
    for name, alert in monitoring.alerts().items():
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert set(alert["annotations"]) == {"summary", "runbook"}, name
        assert alert["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"
        told = re.search(rf"^## {name}\n\n`(\w+)`\. ", monitoring.ALERTS_PAGE.read_text(), re.MULTILINE)
        assert told and told.group(1) == alert["labels"]["severity"], name


def test_every_alert_is_seen_firing_and_not_firing():
    fires, rests = set(), set()
    for case in yaml.safe_load(monitoring.RULE_TESTS.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            (fires if check["exp_alerts"] else rests).add(check["alertname"])
    assert fires == rests == set(monitoring.alerts())


def test_the_dashboard_can_be_shown():
    board = monitoring.dashboard()
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
    assert len(set(titles)) == len(titles)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", monitoring.DASHBOARD.read_text()))
    assert used == variables
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"] and len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_grafana_is_told_where_things_are():
    folder = monitoring.DASHBOARD.parents[1] / "provisioning"
    for file, key in (("datasources/prometheus.yaml", "datasources"), ("dashboards/scoregate.yaml", "providers")):
        assert yaml.safe_load((folder / file).read_text())[key]


def test_promtool_takes_rules_and_configuration():
    promtool("check", "rules", monitoring.RULES)
    promtool("check", "config", monitoring.SCRAPING)


def test_promtool_sees_each_rule_do_its_work():
    promtool("test", "rules", monitoring.RULE_TESTS.name, cwd=monitoring.RULE_TESTS.parent)


def test_every_query_is_promql(tmp_path):
    """As rules, which promtool reads."""
    asked = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(EXPRESSIONS)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": asked}]}))
    promtool("check", "rules", file)
