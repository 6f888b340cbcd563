"""The rows of docs/azureml.md that no other test proves: Azure's own words, typed as its users type them."""
import json

import pytest

from process import wait_until
from scoregate import command, configuration, exchange, service

PATH = "/api/v1/service/iris/score"


def words(*settings):
    return [word for each in settings for word in ("--set", each)]


def whole_pair(cert, key, cname):
    """The settings of a pair under these names."""
    return lambda pair: [f"{cert}={pair.certificate}", f"{key}={pair.key}", f"{cname}=localhost"]


SDK = whole_pair("ssl_cert_pem_file", "ssl_key_pem_file", "ssl_cname")
CLI = whole_pair("ssl-cert-file", "ssl-key-file", "ssl-cname")
EXTENSION = whole_pair("sslCertPemFile", "sslKeyPemFile", "sslCname")
GENERATIONS = {
    "enable_ssl": SDK,
    "AciWebservice": lambda pair: ["ssl_enabled=True", *SDK(pair)],
    "az ml computetarget update aks": CLI,
    "az k8s-extension": lambda pair: ["allowInsecureConnections=False", *EXTENSION(pair)],
}


@pytest.fixture
def file(tmp_path):
    """The path of a configuration that says nothing of TLS."""
    path = tmp_path / "scoregate.json"
    path.write_text(json.dumps(configuration({"iris": service("http://127.0.0.1:1")}, None)))
    return path


# -- on and off

@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_generation_s_own_words_serve_tls(start, echoing, ecdsa, generation):
    gate = start({"iris": service(echoing.url)}, certificate=None, arguments=words(*GENERATIONS[generation](ecdsa)))
    gate.ca = ecdsa.ca
    assert gate.request("POST", PATH, b"{}").status == 200
    assert gate.plain_request("POST", PATH, b"{}").fault == "https_required"


def test_azures_names_in_the_environment_of_a_container(start, echoing, ecdsa):
    variables = dict(("SCOREGATE_SET_" + each).split("=", 1) for each in SDK(ecdsa))
    gate = start({"iris": service(echoing.url)}, certificate=None, variables=variables)
    gate.ca = ecdsa.ca
    assert gate.request("POST", PATH, b"{}").status == 200


@pytest.mark.parametrize("word", ["ssl_enabled=False", "status=Disabled", "ssl-disable=True", "allowInsecureConnections=True"])
def test_azures_words_for_off_switch_tls_off(start, echoing, word):
    """The pair may stay in the file: it is told that it is not used."""
    gate = start({"iris": service(echoing.url)}, arguments=words(word))
    assert gate.plain_request("POST", PATH, b"{}").status == 200
    gate.stderr.wait_for("(?i)warn.*sslCertPemFile")


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("missing", range(3), ids=["certificate", "key", "name"])
def test_all_or_none_in_every_generation_s_words(file, ecdsa, generation, missing):
    given = GENERATIONS[generation](ecdsa)
    del given[len(given) - 3 + missing]
    done = command("check", "--config", file, *words(*given))
    assert done.returncode == 2
    assert f"/{('sslCertPemFile', 'sslKeyPemFile', 'sslCname')[missing]}: is missing" in done.stderr


# -- update: other files and another name, while it runs

def test_an_update_changes_pair_and_name(start, echoing, authority, renewals):
    gate = start({"iris": service(echoing.url)}, certificate=renewals[0])
    with gate.tls_socket() as before:
        assert exchange(before, "POST", PATH, b"{}", keep=True).status == 200
        updated = authority.issue("www.contoso.com")
        gate.configure(gate.settings | {**updated.settings, "sslCname": "www.contoso.com"})
        wait_until(lambda: gate.served_serial("www.contoso.com") == updated.serial)
        assert exchange(before, "POST", PATH, b"{}", keep=True).status == 200
    with gate.tls_socket(name="www.contoso.com") as after:
        assert exchange(after, "POST", PATH, b"{}").status == 200
    wait_until(lambda: all(uri.startswith("https://www.contoso.com") for uri in gate.status()["scoring_uris"]))


# -- one service, as on ACI

@pytest.mark.parametrize("how", ["hosts", "default_service"])
def test_the_only_service_scores_at_the_root(start, echoing, ecdsa, how):
    iris = service(echoing.url, hosts=["localhost"]) if how == "hosts" else service(echoing.url)
    more = {} if how == "hosts" else {"default_service": "iris"}
    gate = start({"iris": iris}, certificate=None, arguments=words("ssl_enabled=True", *SDK(ecdsa)), **more)
    gate.ca = ecdsa.ca
    assert gate.request("POST", "/score", b"{}").status == 200
    assert gate.request("POST", PATH, b"{}").status == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:443", "localhost:8443"])
def test_the_host_may_name_a_port(start, echoing, host):
    """Scoring URIs of the SDK have ":443"."""
    gate = start({"iris": service(echoing.url, hosts=["localhost"])})
    for path in (PATH, "/score"):
        assert gate.request("POST", path, b"{}", {"Host": host}).status == 200


# -- what goes elsewhere

def test_settings_of_the_deployment_are_refused_all_at_once(file):
    """The command of Azure's page, as it stands there."""
    given = ["enableTraining=True", "enableInference=True", "inferenceRouterServiceType=LoadBalancer", "inferenceRouterHA=False",
             "internalLoadBalancerProvider=azure", "nodeSelector.disk=ssd", "installPromOp=False", "allowInsecureConnections=True"]
    done = command("check", "--config", file, *words(*given))
    assert done.returncode == 2
    for name in ("enableTraining", "enableInference", "inferenceRouterServiceType", "inferenceRouterHA",
                 "internalLoadBalancerProvider", "nodeSelector", "installPromOp"):
        assert f": /{name}: is " in done.stderr, done.stderr
    assert "7 problems" in done.stderr


# -- keys

# The file has one name for each key; how it says so is tested with the reader.
TEXTS = [(how, name) for how in ("file", "command line", "environment")
         for name in ("sslKeyPemFile", "sslCertPemFile", "sslSecret", "sslCname", "key", "cert", "ssl_key_pem_file", "ssl_key")
         if how != "file" or not name.startswith("ssl_")]


@pytest.mark.parametrize("how, name", TEXTS)
def test_a_key_as_text_is_refused_and_never_shown(file, ecdsa, how, name):
    """SslConfiguration takes certificate and key as texts."""
    text = ecdsa.key.read_text()
    arguments, variables = [], {}
    if how == "file":
        file.write_text(json.dumps(json.loads(file.read_text()) | {name: text}))
    elif how == "command line":
        arguments = words(f"{name}={text}")
    else:
        variables = {"SCOREGATE_SET_" + name: text}
    for mode in (["check"], []):
        done = command(*mode, "--config", file, *arguments, **variables)
        assert done.returncode == 2
        said = done.stdout + done.stderr
        assert "file that only scoregate's user can read" in said
        assert not ecdsa.shows_key(said)


@pytest.mark.parametrize("words_before", [["cert", "install", "--config", "scoregate.json"], ["cert", "inspect"]], ids=" ".join)
def test_a_key_as_text_for_a_command_is_never_shown(ecdsa, words_before):
    done = command(*words_before, "--cert", ecdsa.certificate, "--key", ecdsa.key.read_text())
    assert done.returncode == 2
    assert "--key: takes the path of a file" in done.stderr
    assert not ecdsa.shows_key(done.stdout + done.stderr)


@pytest.mark.parametrize("secret", ["pem", "c2VjcmV0IG9mIDE2Yg==", "zB4xq0dRk2mVvYc1NfWlTsEo8uHgJpAi"])
def test_a_word_without_a_key_is_never_shown(file, ecdsa, secret):
    """--set "$KEY" where KEY=VALUE was meant."""
    text = ecdsa.key.read_text() if secret == "pem" else secret
    done = command("check", "--config", file, "--set", text)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "--set, number 1: is not KEY=VALUE" in said
    assert text not in said and not ecdsa.shows_key(said)
