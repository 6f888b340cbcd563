"""The units for systemd: that it reads them without a complaint, how much they leave to who gets in, and what the pages say.
Whether a service starts under them is not tried: that takes a machine that runs systemd."""
import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / "packaging/systemd"
MOST_EXPOSURE = 20  # tenths; systemd calls up to 2.0 "OK", and what is left is the network and files that a proxy needs


@pytest.fixture
def installed(tmp_path):
    """As operations.md installs them, but for a binary that is there."""
    for unit in UNITS.iterdir():
        text = unit.read_text()
        assert "/usr/local/bin/scoregate" in text or unit.suffix == ".socket"
        (tmp_path / unit.name).write_text(text.replace("/usr/local/bin/scoregate", "/bin/true"))
    return tmp_path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def settings_of(name):
    """Section -> key -> values, in the order of the file."""
    found, section = {}, None
    for line in (UNITS / name).read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(match.group(1), {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return found


def test_systemd_reads_them_without_a_complaint(installed):
    done = analyze("verify", "--man=no", "--recursive-errors=yes", *sorted(installed.iterdir()))
    complaints = [line for line in done.stderr.splitlines() if "scoregate" in line]
    assert not complaints
    assert done.returncode == 0, done.stderr


def test_it_is_the_check_that_finds_none(installed):
    service = installed / "scoregate.service"
    service.write_text(service.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in analyze("verify", "--man=no", service).stderr


def test_little_is_left_to_who_gets_in(installed):
    service = installed / "scoregate.service"
    assert analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", service).returncode == 0
    service.write_text(service.read_text().replace("CapabilityBoundingSet=\n", "").replace("PrivateUsers=yes\n", "")
                       .replace("SystemCallFilter=@system-service\n", ""))
    assert analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", service).returncode != 0


def test_the_grace_covers_a_drain():
    defaults = json.loads((ROOT / "config/scoregate.schema.json").read_text())["properties"]["timeouts"]["properties"]
    longest = (defaults["drain_grace_ms"]["default"] + defaults["drain_ms"]["default"]) / 1000
    assert int(settings_of("scoregate.service")["Service"]["TimeoutStopSec"][0]) >= longest + 10


def test_what_cannot_become_good_by_itself_is_not_started_again():
    service = settings_of("scoregate.service")["Service"]
    assert service["Restart"] == ["on-failure"] and service["RestartPreventExitStatus"] == ["2"]


def test_the_state_dir_that_the_page_names_is_the_service_s_own():
    service = settings_of("scoregate.service")["Service"]
    example = re.search(r'"state_dir": "([^"]+)"', (ROOT / "docs/acme.md").read_text()).group(1)
    assert pathlib.Path(example).is_relative_to(f"/var/lib/{service['StateDirectory'][0]}")
    assert service["StateDirectoryMode"] == ["0700"]


def test_the_page_names_the_ports_that_systemd_holds():
    page = (ROOT / "docs/operations.md").read_text()
    https, http = settings_of("scoregate.socket")["Socket"]["ListenStream"]
    assert f'"listen": {{"https": ["{https}"], "http": ["{http}"]}}' in page
    for unit in UNITS.iterdir():
        assert f"packaging/systemd/{unit.name}" in page or "packaging/systemd/scoregate.*" in page
