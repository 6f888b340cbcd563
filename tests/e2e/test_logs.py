"""The access log in its formats and places, what sampling leaves out, and the level of the operational log."""
import json
import re
import signal
import socket

import pytest

from process import wait_until
from scoregate import PATIENCE, exchange, service

PATH = "/api/v1/service/stream/score"
COMBINED = re.compile(r'127\.0\.0\.1 - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "([^"]*)" (\d{3}) \d+ "-" "([^"]*)"( .*)')
# PRI, VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID, no STRUCTURED-DATA (RFC 5424, 6).
MESSAGE = re.compile(rb"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([\x21-\x7e]{1,255}) scoregate (\d+) access - (.*)", re.DOTALL)

# Request line and user agent of clients that would like to write a line, or an end of one, of their own.
FORGERS = [
    (b"GET /a%0d%0aGET%20/b HTTP/1.1", b"x\\r\\ny"),
    (b'GET /"%20200%205%20"-"%20"forged HTTP/1.1', b'x" 200 5 "-" "forged'),
    (b"GET /a\rb HTTP/1.1", b"x"),
    (b"GET /a\x0bb\x1b[2J HTTP/1.1", b"x"),
    (b"GET /a HTTP/1.1", b"x\rforged"),
    (b"GET /a HTTP/1.1", b"x\n127.0.0.1 - - [01/Jan/2026:00:00:00 +0000]"),
    (b"GET /a HTTP/1.1", b"\x1b]0;forged\x07 \xff\xfe \xc2\x9b \xe2\x80\xa8 \x7f\\"),
]


def forge(gate):
    for line, agent in FORGERS:
        with gate.tls_socket() as sock:
            sock.sendall(line + b"\r\nHost: localhost\r\nUser-Agent: " + agent + b"\r\nConnection: close\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 4")


@pytest.fixture
def daemon(tmp_path):
    """What a syslog daemon of this machine has: a datagram socket with a name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log.sock"))
        sock.settimeout(PATIENCE)
        yield sock


def test_a_line_for_eyes(start, echoing):
    gate = start({"stream": service(echoing.url)}, access_log={"format": "text"})
    reply = gate.request("POST", PATH + "?key=topsecret", b"hello", {"User-Agent": "tests/1"})
    auth, request, status, agent, rest = COMBINED.fullmatch(gate.stdout.wait_count(1)[0]).groups()
    assert (auth, request, status, agent) == ("none", f"POST {PATH} HTTP/1.1", "200", "tests/1")
    for field in ("service=stream", "deployment=blue", f'replica="{echoing.url}"', "model_status=200", "attempts=1", 'sni="localhost"',
                  f"request_id={reply.headers['x-request-id']}"):
        assert f" {field}" in rest
    assert "topsecret" not in gate.stdout.text


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_client_can_forge_a_line(start, echoing, form):
    gate = start({"stream": service(echoing.url)}, access_log={"format": form})
    forge(gate)
    gate.stop()
    lines = gate.stdout.wait_end()  # split at carriage returns, too
    assert len(lines) == len(FORGERS)
    for line in lines:
        assert line.isprintable(), ascii(line)
        if form == "json":
            assert json.loads(line)["status"] >= 400
        else:
            quoted = re.sub(r"\\.", "", line)
            assert COMBINED.fullmatch(quoted).group(3).startswith("4")


def test_syslog_gets_a_message_for_each_request(start, echoing, daemon):
    gate = start({"stream": service(echoing.url)}, access_log={"path": f"syslog:{daemon.getsockname()}", "facility": "local3"})
    assert gate.request("POST", PATH, b"hello").status == 200
    priority, _, _, process, said = MESSAGE.fullmatch(daemon.recv(65536)).groups()
    assert (int(priority), int(process)) == (19 * 8 + 6, gate.pid)
    assert json.loads(said)["path"] == PATH
    forge(gate)
    for _ in FORGERS:
        message = daemon.recv(65536)
        assert b"\n" not in message and b"\r" not in message
        assert json.loads(MESSAGE.fullmatch(message).group(5))["status"] >= 400
    gate.stop()
    daemon.setblocking(False)
    with pytest.raises(BlockingIOError):
        daemon.recv(65536)
    assert gate.stdout.text == ""


def test_syslog_over_udp_is_written_out_at_the_end(start, echoing):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(PATIENCE)
        gate = start({"stream": service(echoing.url)}, access_log={"path": f"syslog:127.0.0.1:{daemon.getsockname()[1]}", "format": "text"})
        assert gate.request("GET", "/nothing").status == 404
        gate.stop()
        said = MESSAGE.fullmatch(daemon.recv(65536)).group(5).decode()
        assert COMBINED.fullmatch(said).group(3) == "404"


def test_the_file_is_opened_anew_when_it_has_been_rotated(start, echoing, tmp_path):
    gate = start({"stream": service(echoing.url)}, access_log={"path": "access.log"})
    log = tmp_path / "access.log"
    assert gate.request("GET", "/first").status == 404
    wait_until(log.read_text)
    before = log.rename(tmp_path / "access.log.1")
    gate.signal(signal.SIGUSR1)
    wait_until(log.exists)
    assert gate.request("GET", "/second").status == 404
    gate.stop()
    assert [json.loads(each.read_text())["path"] for each in (before, log)] == ["/first", "/second"]


def test_sampling_leaves_out_successes_alone(start, echoing):
    gate = start({"stream": service(echoing.url)}, access_log={"sample_successes": 10, "slow_ms": 60000})
    for _ in range(40):
        assert gate.request("POST", PATH, b"hello").status == 200
    for _ in range(5):
        assert gate.request("GET", "/nothing").status == 404
    # The line of the last request comes a moment after its reply.
    wait_until(lambda: gate.metric("scoregate_requests_total") == 45)
    assert gate.metric("scoregate_access_log_left_out_total") == 36
    gate.stop()
    statuses = [json.loads(line)["status"] for line in gate.stdout.wait_end()]
    assert (statuses.count(200), statuses.count(404)) == (4, 5)


def test_the_level_of_the_log_can_be_changed_while_it_runs(start, echoing):
    gate = start({"stream": service(echoing.url)})

    def speak_plainly(path):
        assert exchange(gate.plain_socket(gate.https), "GET", path).status == 400

    assert gate.status()["log_level"] == "info"
    speak_plainly("/")
    assert gate.ask_admin("/log-level?level=loud", "PUT").status == 400
    assert gate.ask_admin("/log-level?level=debug", "PUT").json == {"log_level": "debug"}
    gate.stderr.wait_for("warning the log level was info and is debug now")
    assert "no TLS with it" not in gate.stderr.text
    speak_plainly("/")
    gate.stderr.wait_for(r"debug client 127\.0\.0\.1: no TLS with it: plain_http")
    assert gate.status()["log_level"] == "debug"
    # The file says another one from now on.
    gate.configure(gate.settings | {"log_level": "error"})
    assert gate.reload().status == 200
    assert gate.status()["log_level"] == "error"


def test_the_level_at_the_start_is_the_file_s(start, echoing):
    gate = start({"stream": service(echoing.url)}, log_level="debug")
    assert gate.status()["log_level"] == "debug"
