"""`scoregate health`, as probes of containers run it."""
import signal

from process import wait_until
from replica import Replica
from scoregate import command as scoregate
from scoregate import read_reply, send

PATH = "/api/v1/service/stream/score"


def health(gate):
    return scoregate("health", "--admin", gate.admin_url)


def test_it_is_ready_until_it_drains(gate, replica):
    ready = health(gate)
    assert (ready.returncode, ready.stdout, ready.stderr) == (0, "ready\n", "")
    with gate.tls_socket() as client:
        send(client, "GET", PATH)
        request = replica.request()
        gate.signal(signal.SIGTERM)
        wait_until(lambda: gate.ask_admin("/readyz").status == 503)
        draining = health(gate)
        assert draining.returncode == 1
        assert draining.stderr == f"scoregate: {gate.admin_url} answers 503 to GET /readyz: it starts or drains\n"
        request.reply(b"last")
        assert read_reply(client).body == b"last"
    assert gate.wait() == 0
    ended = health(gate)
    assert ended.returncode == 1 and f"no scoregate answers at {gate.admin_url}" in ended.stderr


def test_the_configuration_says_where_to_ask(gate):
    done = scoregate("health", "--config", gate.file, SCOREGATE_SET_admin__listen=f"0.0.0.0:{gate.admin}")
    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr


def test_what_answers_must_be_scoregate():
    with Replica(lambda request: request.reply(status="404 Not Found")) as another:
        done = scoregate("health", "--admin", another.url)
    assert done.returncode == 1
    assert done.stderr == f"scoregate: {another.url} answers 404 to GET /readyz: that is no scoregate's answer; --admin names another\n"
