"""What docker/prometheus, docker/grafana and docs/ say of metrics and alerts, read for tests."""
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "docker/prometheus/rules.yml"
RULE_TESTS = ROOT / "docker/prometheus/rules.test.yml"
SCRAPING = ROOT / "docker/prometheus/prometheus.yml"
DASHBOARD = ROOT / "docker/grafana/dashboards/scoregate.json"
METRICS_PAGE = ROOT / "docs/metrics.md"
ALERTS_PAGE = ROOT / "docs/alerts.md"

# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*", "$service": ".*"}


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def documented():
    """The tables of docs/metrics.md: of each metric its type, its labels and the names of its alerts."""
    found = {}
    for line in METRICS_PAGE.read_text().splitlines():
        row = re.fullmatch(r"\| `(\w+)(?:\{(.*?)\})?` \| (counter|gauge|histogram) \| (.+) \|(.*)\|", line)
        if row:
            name, labels, kind, _, uses = row.groups()
            found[name] = {"type": kind, "labels": set(re.findall(r"\w+", labels or "")), "alerts": set(re.findall(r"\[(\w+)\]", uses))}
    return found


def questions():
    """The queries of docs/metrics.md."""
    return re.findall(r"^```promql\n(.*?)\n```$", METRICS_PAGE.read_text(), re.MULTILINE | re.DOTALL)


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    """Those that show something, each with its queries as Grafana sends them."""
    shown = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    return {panel["title"]: [substituted(target["expr"]) for target in panel["targets"]] for panel in shown}


def substituted(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def metrics_of(expression, recorded={}):
    """The metrics that it reads, each with the names of the labels that are asked for. recorded: rules to look into."""
    found = {}
    for name, selector in re.findall(r"([a-zA-Z_:][\w:]*)\s*(?:\{(.*?)\})?", without_strings(expression)):
        if name in recorded:
            found |= metrics_of(recorded[name], recorded)
        elif name.startswith(("scoregate_", "process_")) or ":" in name:
            found.setdefault(name, set()).update(re.findall(r"(\w+)\s*[!=]", selector))
    return found


def without_strings(expression):
    return re.sub(r'"[^"]*"', '""', expression)
