"""docker/compose.yaml against the specification's schema, the files it mounts and the program."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

import dockerfile
from dockerfile import ROOT

FILE = ROOT / "docker/compose.yaml"
FOLDER = FILE.parent
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]


def mounts(service):
    """Pairs of what is mounted and where."""
    for each in SERVICES[service].get("volumes", []):
        source, target, *_ = each.split(":")
        yield source, target


def test_it_is_a_compose_file():
    schema = json.loads(pathlib.Path(os.environ["COMPOSE_SCHEMA"]).read_text())
    validator = jsonschema.Draft201909Validator(schema)
    # `name` came into the specification after this edition of its schema.
    wrong = list(validator.iter_errors({key: value for key, value in COMPOSE.items() if key != "name"}))
    assert not wrong, [(list(each.absolute_path), each.message) for each in wrong]
    assert list(validator.iter_errors({"services": {"a": {"colour": "blue"}}}))  # the schema is one


def test_what_is_mounted_and_built_is_there():
    for name, service in SERVICES.items():
        for source, _ in mounts(name):
            if source.startswith("."):
                assert (FOLDER / source).exists(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
        if "build" in service:
            context = FOLDER / service["build"]["context"]
            assert (context / service["build"].get("dockerfile", "Dockerfile")).is_file(), name


def test_each_image_of_ours_is_built_once():
    """Two services that build one tag do it side by side, and who of them wins is chance."""
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(set(built)) == len(built)
    for name, service in SERVICES.items():
        if "localhost/" in service["image"] and "build" not in service:
            assert service["image"] in built and service["pull_policy"] == "never", name


def test_certificates_are_made_before_they_are_read():
    assert SERVICES["scoregate"]["depends_on"]["certificates"] == {"condition": "service_completed_successfully"}
    default = dockerfile.environment()["SCOREGATE_UNLESS_SET_sslSecret"]
    made = SERVICES["certificates"]
    assert made["command"][:3] == ["cert", "dev", "--keep"] and made["command"][made["command"].index("--out") + 1] == default
    assert made["network_mode"] == "none" and made["restart"] == "no"
    assert dict(mounts("certificates")) == {"tls": default} and ("tls", default) in mounts("scoregate")


def test_the_first_start_makes_them_and_the_next_keeps_them(program, tmp_path):
    words = [str(tmp_path / "tls") if each.startswith("/") else each for each in SERVICES["certificates"]["command"]]
    assert program(*words).returncode == 0
    first = (tmp_path / "tls/cert.pem").read_bytes()
    again = program(*words)
    assert again.returncode == 0 and "kept" in again.stdout
    assert (tmp_path / "tls/cert.pem").read_bytes() == first
    (tmp_path / "tls/key.pem").unlink()
    halved = program(*words)
    assert halved.returncode == 1 and "ca.pem exists" in halved.stderr


def test_the_program_takes_its_configuration(program, tmp_path):
    """All that is mounted below /etc/scoregate, in one folder, as in the container."""
    for source, target in mounts("scoregate"):
        place = tmp_path / pathlib.PurePath(target).relative_to("/etc/scoregate")
        if source == "tls":
            assert program("cert", "dev", "--out", place, "--cname", "localhost").returncode == 0
        elif (FOLDER / source).is_dir():
            shutil.copytree(FOLDER / source, place)
        else:
            shutil.copy(FOLDER / source, place)
    variables = dockerfile.environment() | {"SCOREGATE_UNLESS_SET_sslSecret": "tls"}
    done = program("check", "--config", tmp_path / "scoregate.json", **variables)
    assert done.returncode == 0, done.stderr
    assert "model" in SERVICES and "model" in done.stdout  # whose name is looked up


def test_scoregate_has_no_more_rights_than_it_needs():
    for name in ("certificates", "scoregate"):
        service = SERVICES[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "user" not in service, name
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:") or name == "scoregate" and port in ("8443:8443", "8080:8080"), (name, port)


def test_prometheus_reaches_scoregate_and_grafana_prometheus():
    config = yaml.safe_load((FOLDER / "compose/prometheus.yml").read_text())
    [scrape] = config["scrape_configs"]
    [target] = scrape["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in SERVICES and port == dockerfile.environment()["SCOREGATE_UNLESS_SET_admin__listen"].split(":")[1]
    text = re.sub(r"//.*", "", (FOLDER / "compose/scoregate.json").read_text())
    assert host in json.loads(text)["admin"]["hosts"]
    places = dict(mounts("prometheus"))
    assert pathlib.PurePath(places["./prometheus/rules.yml"]) == pathlib.PurePath("/etc/prometheus", *config["rule_files"])
    one, other = (yaml.safe_load((FOLDER / each).read_text()) for each in ("compose/prometheus.yml", "prometheus/prometheus.yml"))
    for each in (one, other):
        each["scrape_configs"][0]["static_configs"] = None
    assert one == other  # but for the target
    url = SERVICES["grafana"]["environment"]["PROMETHEUS_URL"]
    assert re.fullmatch(r"http://(\w+):9090", url).group(1) in SERVICES
    provider = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/scoregate.yaml").read_text())["providers"][0]
    assert ("./grafana/dashboards", provider["options"]["path"]) in mounts("grafana")
    assert pathlib.PurePath(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).parent \
        == pathlib.PurePath(provider["options"]["path"])


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: scripts/bootstrap installs prometheus")
def test_prometheus_takes_its_configuration(tmp_path):
    shutil.copy(FOLDER / "compose/prometheus.yml", tmp_path)
    shutil.copy(FOLDER / "prometheus/rules.yml", tmp_path)
    done = subprocess.run(["promtool", "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
