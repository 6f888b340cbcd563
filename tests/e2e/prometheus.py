"""A real Prometheus on a free port of 127.0.0.1. It scrapes and judges twice a second, by the rules of docker/prometheus."""
import http.client
import json
import math
import pathlib
import sys
import urllib.parse

from dnsmasq import free_port
from process import ROOT, Process, wait_until
from scoregate import PATIENCE

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import monitoring  # noqa: E402

OFTEN = "500ms"


class Prometheus:
    def __init__(self, directory, *targets):
        """targets: addresses of admin ports."""
        settings = {
            "global": {"scrape_interval": OFTEN, "scrape_timeout": OFTEN, "evaluation_interval": OFTEN},
            "rule_files": [str(monitoring.RULES)],
            "scrape_configs": [{"job_name": "scoregate", "static_configs": [{"targets": targets}]}],
        }
        file = directory / "prometheus.yml"
        file.write_text(json.dumps(settings))  # which is YAML
        self._port = free_port()
        self._process = Process(["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'prometheus'}",
                                 f"--web.listen-address=127.0.0.1:{self._port}"], cwd=ROOT)
        self._process.stderr.wait_for("Server is ready to receive web requests")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stop()

    def _ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = json.load(connection.getresponse())
        finally:
            connection.close()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        """What it says now: labels and number of each sample."""
        data = self._ask("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        assert data["resultType"] == "vector", data
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def value(self, expression):
        """The number of its only sample; None without one, or for a ratio of nothing."""
        samples = self.query(expression)
        assert len(samples) < 2, samples
        return samples[0][1] if samples and not math.isnan(samples[0][1]) else None

    def scrape(self):
        """Returns once a scrape is in that began after this call."""
        done = "sum(count_over_time(up[1h]))"
        one_under_way_and_the_next = (self.value(done) or 0) + 2
        wait_until(lambda: (self.value(done) or 0) >= one_under_way_and_the_next)

    def rules(self):
        return [rule for group in self._ask("/api/v1/rules")["groups"] for rule in group["rules"]]

    def firing(self, name):
        """The labels of each alert of this name that fires."""
        return [labels for labels, _ in self.query(f'ALERTS{{alertname="{name}", alertstate="firing"}}')]
