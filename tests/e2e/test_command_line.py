"""The command line: help, check, overrides."""
import json
import socket
import subprocess

import pytest

from scoregate import command as scoregate
from scoregate import BINARY, configuration, service


@pytest.fixture
def file(tmp_path, ecdsa):
    """The path of a good configuration."""
    path = tmp_path / "scoregate.json"
    path.write_text(json.dumps(configuration({"iris": service("http://127.0.0.1:1")}, ecdsa)))
    return path


def test_help_tells_how_to_use_it():
    done = scoregate("--help")
    assert done.returncode == 0
    for word in ("--config", "--set", "check", "cert", "import", "status", "explain", "version"):
        assert word in done.stdout


def test_version_is_one_line():
    done = scoregate("version")
    assert done.returncode == 0
    assert "0.1.0" in done.stdout and done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [
    ["--no-such-option"], ["no-such-command"], ["--config"], [], ["--config", "/nowhere/scoregate.json"],
], ids=" ".join)
def test_bad_usage_exits_2_and_says_why(arguments):
    done = scoregate(*arguments)
    assert done.returncode == 2
    assert done.stderr


def test_check_finds_a_good_configuration_good(file):
    assert scoregate("check", "--config", file).returncode == 0


def test_check_lists_every_problem_by_its_pointer(file):
    settings = json.loads(file.read_text())
    settings["colour"] = "blue"
    settings["timeouts"]["drain_ms"] = "long"
    settings["limits"] = {"max_headers": -1}
    settings["services"]["iris"]["auth_mode"] = "aml_token"
    settings["services"]["iris"]["deployments"]["blue"]["replicas"] = ["ftp://127.0.0.1"]
    file.write_text(json.dumps(settings))
    done = scoregate("check", "--config", file)
    assert done.returncode == 2
    for pointer in ("/colour", "/timeouts/drain_ms", "/limits/max_headers", "/services/iris/token",
                    "/services/iris/deployments/blue/replicas/0"):
        assert f"{file}: {pointer}: " in done.stderr, done.stderr


def test_check_finds_what_is_wrong_with_key_files_beside_the_rest(file):
    settings = json.loads(file.read_text()) | {"colour": "blue"}
    settings["services"]["iris"] |= {"auth_mode": "key", "keys": {"primary_file": "nowhere"}}
    file.write_text(json.dumps(settings))
    done = scoregate("check", "--config", file)
    assert done.returncode == 2
    for pointer in ("/colour", "/services/iris/keys/primary_file"):
        assert f"{file}: {pointer}: " in done.stderr, done.stderr


@pytest.mark.parametrize("words", ["key generate", "explain", "version"])
def test_output_that_cannot_be_written_is_an_error(words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BINARY, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, timeout=10)
    assert done.returncode == 1
    assert "could not be written: No space left on device" in done.stderr


def test_check_finds_what_is_wrong_with_the_certificate_beside_the_rest(file):
    settings = json.loads(file.read_text()) | {"sslCname": "www.contoso.com", "colour": "blue"}
    file.write_text(json.dumps(settings))
    done = scoregate("check", "--config", file)
    assert f"{file}: /sslCname: " in done.stderr and f"{file}: /colour: " in done.stderr, done.stderr


def test_check_opens_nothing(file):
    """A port that is taken is no problem for check."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        assert scoregate("check", "--config", file, "--set", f"listen.https={address}").returncode == 0


@pytest.mark.parametrize("text, pointer", [('{"sslCname": "a", "sslCname": "b"}', "/sslCname"), ('{"services": ', "")])
def test_what_is_not_strict_json_is_refused(tmp_path, text, pointer):
    path = tmp_path / "scoregate.json"
    path.write_text(text)
    done = scoregate("check", "--config", path)
    assert done.returncode == 2
    assert f"{path}: {pointer}" in done.stderr


def test_comments_and_paths_beside_the_file(tmp_path, ecdsa):
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/cert.pem").write_text(ecdsa.certificate.read_text())
    (tmp_path / "tls/key.pem").write_text(ecdsa.key.read_text())
    settings = configuration({"iris": service("http://127.0.0.1:1")}, ecdsa)
    settings |= {"sslCertPemFile": "tls/cert.pem", "sslKeyPemFile": "tls/key.pem"}
    path = tmp_path / "scoregate.json"
    path.write_text("// for development\n" + json.dumps(settings))
    assert scoregate("check", "--config", path).returncode == 0


@pytest.mark.parametrize("how", ["command line", "environment"])
def test_overrides_reach_what_the_file_says(file, how):
    if how == "command line":
        done = scoregate("check", "--config", file, "--set", "sslCname=www.contoso.com")
    else:
        done = scoregate("check", "--config", file, SCOREGATE_SET_sslCname="www.contoso.com")
    assert done.returncode == 2
    assert "www.contoso.com" in done.stderr


def test_the_command_line_wins_over_the_environment_over_the_file(file):
    wrong = {"SCOREGATE_SET_sslCname": "environment.example"}
    assert "environment.example" in scoregate("check", "--config", file, **wrong).stderr
    assert scoregate("check", "--config", file, "--set", "sslCname=localhost", **wrong).returncode == 0


def test_overrides_of_lists_and_levels(start, replica):
    gate = start({"iris": service(replica.url)}, arguments=["--set", "listen.https=127.0.0.1:0,127.0.0.2:0"],
                 variables={"SCOREGATE_SET_limits__max_request_bytes": "10"})
    gate.stderr.wait_for(r"listening https 127\.0\.0\.1:")
    gate.stderr.wait_for(r"listening https 127\.0\.0\.2:")
    refused = gate.request("POST", "/api/v1/service/iris/score", b"x" * 11)
    assert (refused.status, refused.fault) == (413, "body_too_large")


def test_azures_true_is_understood(start, replica):
    gate = start({"iris": service(replica.url)}, certificate=None, arguments=["--set", "allowInsecureConnections=True"])
    assert gate.plain_request("GET", "/").body == b"Healthy"


def test_unknown_overrides_are_refused_and_named(file):
    done = scoregate("check", "--config", file, SCOREGATE_SET_colour="blue")
    assert done.returncode == 2
    assert "SCOREGATE_SET_colour" in done.stderr
    done = scoregate("check", "--config", file, "--set", "colour=blue")
    assert done.returncode == 2
    assert "colour" in done.stderr


def test_other_variables_are_not_ours(file):
    assert scoregate("check", "--config", file, SCOREGATE_COLOUR="blue").returncode == 0


def test_cert_dev_writes_what_it_says_and_guards_the_key(tmp_path):
    done = scoregate("cert", "dev", "--out", tmp_path / "new", "--cname", "www.contoso.com")
    assert done.returncode == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} >= {"ca.pem", "cert.pem", "key.pem"}
    assert (tmp_path / "new/key.pem").stat().st_mode & 0o077 == 0
