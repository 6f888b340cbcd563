"""The HTTP port: scoring when allowed, otherwise only the way to HTTPS."""
import pytest

from scoregate import service

PATH = "/api/v1/service/iris/score"


def test_allow_insecure_connections_scores_over_http_and_warns_once(start, model):
    gate = start({"iris": service(model)}, certificate=None, allowInsecureConnections=True)
    reply = gate.plain_request("POST", PATH, b'{"data": [[5.1, 3.5, 1.4, 0.2]]}', {"Content-Type": "application/json"})
    assert reply.status == 200
    assert reply.json["classes"] == ["setosa"]
    gate.stop()
    warnings = [line for line in gate.stderr.wait_end() if "allowInsecureConnections" in line]
    assert len(warnings) == 1 and "warn" in warnings[0].lower()


def test_left_over_tls_settings_only_warn(start, replica, ecdsa):
    gate = start({"iris": service(replica.url)}, allowInsecureConnections=True, sslCertPemFile="gone.pem")
    gate.stderr.wait_for("(?i)warn.*ssl")
    assert gate.plain_request("GET", "/").body == b"Healthy"


@pytest.fixture
def redirecting(start, replica):
    def start_one(port):
        listen = {"https": ["127.0.0.1:0"], "http": ["127.0.0.1:0"], "public_https_port": port}
        return start({"iris": service(replica.url)}, listen=listen)
    return start_one


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("port, authority", [(443, "localhost"), (8443, "localhost:8443")])
def test_reading_is_sent_to_https(redirecting, replica, method, port, authority):
    reply = redirecting(port).plain_request(method, PATH + "?data=%5B1%5D", headers={"Host": "evil.example"})
    assert reply.status == 308
    assert reply.headers["Location"] == f"https://{authority}{PATH}?data=%5B1%5D"  # the cname, never the client's Host
    assert replica.untouched


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_anything_else_is_forbidden(redirecting, replica, method):
    reply = redirecting(443).plain_request(method, PATH, b"{}")
    assert (reply.status, reply.fault) == (403, "https_required")
    assert reply.json["error"]["code"] == "https_required"
    assert replica.untouched


def test_a_service_may_do_without_tls(start, model):
    gate = start({"iris": service(model, require_tls=False), "secret": service(model)})
    row = b'{"data": [[5.1, 3.5, 1.4, 0.2]]}'
    assert gate.plain_request("POST", PATH, row, {"Content-Type": "application/json"}).status == 200
    assert gate.plain_request("POST", "/api/v1/service/secret/score", row).fault == "https_required"
