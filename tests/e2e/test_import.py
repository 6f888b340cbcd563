"""scoregate import azureml: from Azure's YAML to a score, by the commands of docs/migrating-from-azureml.md."""
import json
import shutil
import subprocess
import types

import pages
import pytest

from process import wait_until
from scoregate import BINARY, Scoregate, command, environment

KEYS = {"primary": "p" * 40, "secondary": "s" * 40}
SECTION = pages.section("migrating-from-azureml.md", "From endpoint and deployment YAML")


@pytest.fixture
def azure(tmp_path, ecdsa):
    """A folder with the files of the page, and the certificate that they name."""
    endpoint, blue = pages.blocks(SECTION, "yaml")
    [settings] = pages.blocks(SECTION, "ini")
    (tmp_path / "endpoint.yml").write_text(endpoint)
    (tmp_path / "blue.yml").write_text(blue)
    (tmp_path / "extension.settings").write_text(settings)
    shutil.copy(ecdsa.certificate, tmp_path / "cert.pem")
    shutil.copy(ecdsa.key, tmp_path / "key.pem")
    return tmp_path


def import_azureml(folder, *more):
    return command("import", "azureml", "--endpoint", folder / "endpoint.yml", "--deployment", folder / "blue.yml",
                   "--extension-settings", folder / "extension.settings", *more)


def without_comment(text):
    comment, _, rest = text.partition("\n")
    assert comment.startswith("// ")
    return json.loads(rest)


def test_the_page_leads_to_a_score(azure, ecdsa, model):
    making, keeping, checking = pages.blocks(SECTION, "sh")
    variables = "".join(f"{name}={key}\n" for name, key in KEYS.items())
    shell = pages.Shell(types.SimpleNamespace(file=azure / "scoregate.json", ca=ecdsa.ca), variables)
    shell.run(pages.replaced(making, ("http://10.0.0.4:5001", model)))
    shell.run(keeping)
    assert "no problems" in shell.run(checking)

    made = without_comment((azure / "scoregate.json").read_text())
    assert made["services"]["iris"]["deployments"]["blue"]["request_settings"] == {
        "request_timeout_ms": 3000, "max_concurrent_requests_per_instance": 2}
    free = {"listen": {"https": ["127.0.0.1:0"], "http": ["127.0.0.1:0"]}, "admin": {"listen": "127.0.0.1:0"}, "workers": 1}
    gate = Scoregate(azure, made | free, ecdsa)
    try:
        gate.wait_ready()
        wait_until(lambda: gate.metric("scoregate_replica_healthy", service="iris") == 1)
        for key in KEYS.values():
            reply = gate.request("POST", "/api/v1/endpoint/iris/score", json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]}),
                                 {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
            assert (reply.status, reply.headers["azureml-model-deployment"]) == (200, "blue"), reply.body
        assert gate.request("POST", "/api/v1/endpoint/iris/score", "{}").fault == "auth_missing"
    finally:
        gate.stop()


def test_without_output_the_configuration_alone_is_on_stdout(azure):
    done = import_azureml(azure, "--replica", "blue=http://10.0.0.4:5001", "http://10.0.0.5:5001")
    assert done.returncode == 2 and "--replica http://10.0.0.5:5001: " in done.stderr and not done.stdout
    done = import_azureml(azure, "--replica", "blue=http://10.0.0.4:5001", "blue=http://10.0.0.5:5001")
    assert done.returncode == 0, done.stderr
    made = without_comment(done.stdout)
    assert made["services"]["iris"]["deployments"]["blue"]["replicas"] == ["http://10.0.0.4:5001", "http://10.0.0.5:5001"]
    for told in ("endpoint.yml:2: /compute: ", "blue.yml:9: /instance_count: ", "extension.settings:1: /enableInference: "):
        assert f"note: {azure}/{told}has no counterpart: " in done.stderr, done.stderr


def test_a_file_that_is_there_is_not_written_over(azure):
    (azure / "scoregate.json").write_text("in use")
    done = import_azureml(azure, "--namespace", "models", "--output", azure / "scoregate.json")
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert (azure / "scoregate.json").read_text() == "in use"


def test_all_problems_are_told_and_nothing_is_written(azure):
    (azure / "endpoint.yml").write_text("name: iris\ntraffic: {blue: 90}\n")
    (azure / "extension.settings").unlink()
    with (azure / "blue.yml").open("a") as blue:
        blue.write("colour: blue\n")
    done = import_azureml(azure, "--output", azure / "scoregate.json")
    assert (done.returncode, done.stdout) == (2, "")
    for problem in (f"{azure}/endpoint.yml:2: /traffic: sums to 90: ", f"{azure}/blue.yml:10: /colour: ",
                    f"cannot read {azure}/extension.settings: "):
        assert problem in done.stderr, done.stderr
    assert "nothing was written" in done.stderr
    assert not (azure / "scoregate.json").exists()


def test_of_one_file_fifty_problems_are_told_and_how_many_more_there_are(azure):
    with (azure / "extension.settings").open("a") as settings:
        settings.write("".join(f"colour{i}=blue\n" for i in range(60)))
    done = import_azureml(azure)  # and no replicas
    assert done.returncode == 2
    assert done.stderr.count("is not a setting of Azure ML's extension") == 50, done.stderr
    assert f"{azure}/extension.settings: and 10 more: " in done.stderr
    assert f"{azure}/blue.yml:1: /name: has no replicas, " in done.stderr
    assert "61 problems, nothing was written" in done.stderr


def test_what_a_terminal_would_obey_is_not_repeated(azure):
    (azure / "endpoint.yml").write_text('name: iris\n"\\e[31m": 1\n')
    done = import_azureml(azure, "--namespace", "models")
    assert done.returncode == 2 and "\x1b" not in done.stderr


def test_a_full_disk_is_an_error(azure):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BINARY, "import", "azureml", "--endpoint", "endpoint.yml", "--deployment", "blue.yml",
                               "--extension-settings", "extension.settings", "--namespace", "models"],
                              cwd=azure, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=10)
    assert done.returncode == 1
    assert "could not be written: No space left on device" in done.stderr


def test_help_names_every_option_of_the_page():
    done = command("import", "azureml", "--help")
    assert done.returncode == 0
    for option in ("--endpoint", "--deployment", "--extension-settings", "--extension-setting", "--replica", "--host",
                   "--namespace", "--keys", "--jwks", "--issuer", "--audience", "--output"):
        assert option in done.stdout
