"""What testssl.sh finds: nothing that docs/security.md has no answer to."""
import json
import os
import re
import subprocess

import pytest

import pages
from scoregate import service

GRAVE = ("MEDIUM", "HIGH", "CRITICAL")
# Protocols, server defaults, fields of replies, vulnerabilities. The whole of it takes minutes.
CHECKS = ("--protocols", "--server-defaults", "--headers", "--vulnerable")


def scan(gate, directory):
    report = directory / "report.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--add-ca", gate.ca,
                    "--jsonfile", report, *CHECKS, f"localhost:{gate.https}"],
                   cwd=directory, env={**os.environ, "TERM": "dumb"}, capture_output=True, timeout=240)
    return {finding["id"]: finding for finding in json.loads(report.read_text())}


@pytest.mark.first
def test_every_grave_finding_has_its_answer(start, tmp_path):
    gate = start({"iris": service("http://127.0.0.1:1")}, strict_transport_security={})
    found = scan(gate, tmp_path)
    # It has looked, and has seen what it looked at.
    for checked in ("TLS1_2", "heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_client_renego", "LUCKY13", "cert_trust"):
        assert found[checked]["severity"] == "OK", found[checked]
    assert found["HSTS_time"]["severity"] == "OK"

    answered = re.findall(r"^\| `(\w+)` \|", pages.section("security.md", "Findings of testssl.sh"), re.MULTILINE)
    grave = {name: finding for name, finding in found.items() if finding["severity"] in GRAVE}
    assert grave  # the certificate is a development one: without a word on that, the scan was not one
    assert {name: finding for name, finding in grave.items() if name not in answered} == {}
