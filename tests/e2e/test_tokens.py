"""Services that take tokens (auth_mode aml_token): who is let in, and what an issuer's new keys change."""
import base64
import json
import os
import subprocess
import time

import pytest

from process import wait_until
from scoregate import command, service

PATH = "/api/v1/service/iris/"
UNIT = "jwks:iris"
NOTICED = 2  # seconds, as docs/services.md promises


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=10, **options).stdout


class Issuer:
    """Signs tokens with an RSA key, as its users see it: by the openssl command."""

    def __init__(self, folder, kid):
        self.kid = kid
        self.key = folder / f"{kid}.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)

    @property
    def jwk(self):
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}

    def token(self, life=600, **claims):
        now = int(time.time())
        claims = {"iss": "https://login.contoso.com", "aud": "https://ml.azure.com", "service": ["iris"],
                  "iat": now, "nbf": now, "exp": now + life, **claims}
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT"}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        return signed + "." + base64url(openssl("dgst", "-sha256", "-sign", self.key, input=signed.encode()))


@pytest.fixture(scope="module")
def issuers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("issuers")
    return Issuer(folder, "old"), Issuer(folder, "new")


@pytest.fixture
def publish(tmp_path):
    """publish(*issuers): the file of keys is theirs now."""
    def write(*issuers):
        fresh = tmp_path / "jwks.json.new"
        fresh.write_text(json.dumps({"keys": [each.jwk for each in issuers]}))
        os.replace(fresh, tmp_path / "jwks.json")
    return write


def services(replica):
    token = {"jwks_file": "jwks.json", "issuer": "https://login.contoso.com", "audience": "https://ml.azure.com"}
    return {"iris": service(replica, auth_mode="aml_token", token=token)}


def ask(gate, token, route="score"):
    reply = gate.request("GET", PATH + route, headers={"Authorization": f"Bearer {token}"})
    return reply.fault or reply.status


def reloads(gate):
    """(successes, failures)"""
    return tuple(gate.metric("scoregate_reloads_total", unit=UNIT, result=result) for result in ("success", "failure"))


def test_a_token_opens_the_real_model(start, model, issuers, publish):
    old, new = issuers
    publish(old)
    gate = start(services(model), access_log={"path": "access.log"})
    rows, headers = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]}), {"Authorization": f"Bearer {old.token()}"}
    reply = gate.request("POST", PATH + "score", rows, {"Content-Type": "application/json", **headers})
    assert reply.status == 200 and reply.json["classes"] == ["setosa"]
    assert ask(gate, old.token(), "swagger.json") == 200
    assert gate.metric("scoregate_auth_total", service="iris", key="aml_token") == 2

    refused = gate.request("GET", PATH + "swagger.json")
    assert (refused.status, refused.fault, refused.headers["WWW-Authenticate"]) == (401, "auth_missing", "Bearer")
    expired = old.token(life=-120)
    assert ask(gate, expired) == "auth_expired"
    assert ask(gate, old.token(life=-30, jti="1"), "swagger.json") == 200  # within 60 s
    assert ask(gate, old.token(service="wine")) == "auth_wrong"
    assert ask(gate, old.token(aud="https://other")) == "auth_wrong"
    assert ask(gate, new.token()) == "auth_wrong"
    assert ask(gate, "k" * 40) == "auth_malformed"
    unsigned = base64url(b'{"alg":"none"}') + "." + expired.split(".")[1] + "."
    assert ask(gate, unsigned) == "auth_wrong"

    gate.stop()
    told = gate.file.with_name("access.log").read_text() + gate.stderr.text
    assert '"auth":"aml_token"' in told
    for secret in (headers["Authorization"][7:40], expired.split(".")[1], "login.contoso.com"):
        assert secret not in told


def test_keys_rotate_without_a_restart(start, model, issuers, publish):
    old, new = issuers
    publish(old)
    gate = start(services(model))
    first, second = old.token(), new.token()
    assert [ask(gate, each, "swagger.json") for each in (first, second)] == [200, "auth_wrong"]

    publish(old, new)
    wait_until(lambda: ask(gate, second, "swagger.json") == 200, timeout=NOTICED)
    assert ask(gate, first, "swagger.json") == 200

    publish(new)
    wait_until(lambda: ask(gate, first, "swagger.json") == "auth_wrong", timeout=NOTICED)
    assert ask(gate, second, "swagger.json") == 200
    assert reloads(gate) == (2, 0)
    assert gate.status()["reloads"][UNIT]["last_result"] == "succeeded"


def test_a_bad_file_of_keys_changes_nothing_and_is_told(start, model, issuers, publish, tmp_path):
    old, new = issuers
    publish(old)
    gate = start(services(model))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [new.jwk, {"kty": "oct", "k": "c2VjcmV0"}]}))
    answer = gate.reload()
    assert answer.status == 422
    assert b"/services/iris/token/jwks_file" in answer.body and b"keys[1] is a symmetric key" in answer.body
    assert ask(gate, old.token(), "swagger.json") == 200
    assert ask(gate, new.token(), "swagger.json") == "auth_wrong"
    assert reloads(gate) == (0, 1)
    assert gate.metric("scoregate_config_last_reload_successful") == 0

    checked = command("check", "--config", gate.file)
    assert checked.returncode == 2
    assert "/services/iris/token/jwks_file" in checked.stderr + checked.stdout

    publish(new)
    assert gate.reload().status == 200
    assert ask(gate, new.token(), "swagger.json") == 200
    assert command("check", "--config", gate.file).returncode == 0
