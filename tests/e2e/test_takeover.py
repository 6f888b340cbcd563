"""One scoregate follows another without a lost connection: --takeover, and sockets that are passed by LISTEN_FDS."""
import contextlib
import os
import signal
import socket
import stat
import threading

import pytest

from process import wait_until
from replica import Replica, echo
from scoregate import BINARY, PATIENCE, Scoregate, configuration, exchange, read_reply, send, service

PATH = "/api/v1/service/stream/score"
GREETING = b"scoregate-handover 1\n"


@pytest.fixture
def meeting(tmp_path):
    """Where processes meet to hand over."""
    return tmp_path / "takeover.sock"


@pytest.fixture
def settings(echoing, ecdsa):
    return configuration({"stream": service(echoing.url)}, ecdsa)


@pytest.fixture
def run(tmp_path, ecdsa):
    """run(settings, *arguments): a scoregate with a configuration file of its own, which need not become ready."""
    running = []

    def run_one(settings, *arguments, **options):
        directory = tmp_path / f"run{len(running)}"
        directory.mkdir()
        gate = Scoregate(directory, settings, ecdsa, arguments=arguments, **options)
        running.append(gate)
        return gate

    yield run_one
    for gate in running:
        gate.stop()


def serving(gate):
    gate.stderr.wait_for("serves with")
    return gate


def took_over(gate):
    gate.stderr.wait_for(r"took over \d+ listening sockets")
    return gate


def ended(gate):
    """The exit status, once everything it said has been read."""
    status = gate.wait()
    gate.stderr.wait_end()
    return status


def score(gate, body="{}"):
    return gate.request("POST", PATH, body)


class Clients:
    """Each asks again and again and never a second time for the same: what failed stays failed."""

    def __init__(self, gate, each):
        self.gate = gate
        self.stopping = threading.Event()
        self.failed, self.answered = [], [0] * (2 * each)
        self.threads = [threading.Thread(target=self._run, args=(number, number < each)) for number in range(2 * each)]
        for thread in self.threads:
            thread.start()

    def _run(self, number, keeps):
        context = self.gate.context()
        sock = None
        while not self.stopping.is_set():
            try:
                sock = sock or self.gate.tls_socket(context)
                body = f"{number}/{self.answered[number]}"
                send(sock, "POST", PATH, body)
                reply = read_reply(sock, "POST")
                assert (reply.status, reply.body) == (200, body.encode()), reply
                if not keeps or reply.headers["Connection"] == "close":
                    sock.close()
                    sock = None
            except Exception as error:  # whatever it is, a client saw it
                self.failed.append(f"client {number}, request {self.answered[number]}: {error!r}")
                return
            self.answered[number] += 1
        if sock:
            sock.close()

    def wait_answers(self, more):
        """Each client gets so many more."""
        before = list(self.answered)
        wait_until(lambda: self.failed or all(now >= then + more for now, then in zip(self.answered, before)), 30)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)


def test_upgrades_under_load_lose_no_request(run, settings, meeting):
    settings["workers"] = 2
    gate = serving(run(settings, "--takeover", meeting))
    clients = Clients(gate, 6)
    try:
        for _ in range(4):
            clients.wait_answers(5)
            successor = took_over(run(settings, "--takeover", meeting))
            assert ended(gate) == 0, gate.stderr.text
            assert "drained: every request has been answered" in gate.stderr.text
            assert (successor.https, successor.http, successor.admin) == (gate.https, gate.http, gate.admin)
            clients.wait_answers(5)
            gate = successor
    finally:
        clients.stop()
    assert clients.failed == []
    assert gate.ask_admin("/readyz").status == 200
    assert gate.metric("scoregate_requests_total") > 0


def test_an_upgrade_does_not_wait_for_probes(run, ecdsa, meeting):
    """The replica scores, and its second and later probes get no answer, as of a worker that has no time for them."""
    probed, probes = threading.Event(), []
    over = threading.Event()

    def answer(request):
        if request.target == "/health":
            probes.append(request)
            if len(probes) > 1:
                probed.set()
                over.wait()
            request.reply()
        else:
            echo(request)

    with Replica(answer) as replica:
        stream = service(replica.url, request_settings={"max_queue_wait_ms": 0})
        stream["deployments"]["blue"]["readiness_probe"] = {"path": "/health", "period": 3600, "timeout": 60}
        settings = configuration({"stream": stream}, ecdsa)
        old = serving(run(settings, "--takeover", meeting))
        standing = lambda gate: gate.status()["services"]["stream"]["deployments"]["blue"]["replicas"][0]["standing"]
        wait_until(lambda: standing(old) == "ready")
        clients = Clients(old, 3)
        try:
            clients.wait_answers(5)
            new = took_over(run(settings, "--takeover", meeting))
            assert probed.wait(PATIENCE)
            assert ended(old) == 0
            clients.wait_answers(5)
            assert standing(new) == "ready"
        finally:
            clients.stop()
            over.set()
        assert clients.failed == []


def test_the_admin_port_is_ready_all_the_time(run, replica, ecdsa, meeting):
    settings = configuration({"stream": service(replica.url)}, ecdsa)
    old = serving(run(settings, "--takeover", meeting))
    with old.tls_socket() as slow, old.plain_socket(old.admin) as watching:
        send(slow, "GET", PATH)
        request = replica.request()
        new = run(settings, "--takeover", meeting)

        def last():
            reply = exchange(watching, "GET", "/readyz", keep=True)
            assert reply.status == 200, new.stderr.text
            return reply.headers["Connection"] == "close"

        wait_until(last)
        assert old.running
        request.reply(b"old")
        assert read_reply(slow).body == b"old"
    assert ended(old) == 0


def test_a_stream_that_outlasts_the_drain_is_cut_and_that_is_no_failure(run, replica, ecdsa, meeting):
    """A supervisor that starts again what has failed would have it take over from its successor."""
    settings = configuration({"stream": service(replica.url)}, ecdsa, timeouts={"drain_ms": 300})
    old = serving(run(settings, "--takeover", meeting))
    with old.tls_socket() as slow:
        send(slow, "GET", PATH)
        replica.request()  # and never answered
        took_over(run(settings, "--takeover", meeting))
        assert ended(old) == 0
    assert "cut 1 connections" in old.stderr.text


def test_requests_under_way_end_at_the_old_one(run, replica, ecdsa, meeting):
    settings = configuration({"stream": service(replica.url)}, ecdsa)
    old = serving(run(settings, "--takeover", meeting))
    with old.tls_socket() as slow, old.tls_socket() as idle:
        assert exchange(idle, "GET", "/", keep=True).status == 200
        send(slow, "GET", PATH)
        request = replica.request()
        new = took_over(run(settings, "--takeover", meeting))
        while True:
            reply = exchange(idle, "GET", "/", keep=True)
            assert reply.status == 200  # no load balancer has to know
            if reply.headers["Connection"] == "close":
                break
        with new.tls_socket() as other:
            send(other, "GET", PATH)
            replica.request().reply(b"new")
            assert read_reply(other).headers["Connection"] != "close"
        assert old.running
        request.reply(b"old")
        reply = read_reply(slow)
        assert (reply.body, reply.headers["Connection"]) == (b"old", "close")
    assert ended(old) == 0


def test_sigterm_to_the_old_one_cuts_nothing(run, replica, ecdsa, meeting):
    settings = configuration({"stream": service(replica.url)}, ecdsa)
    old = serving(run(settings, "--takeover", meeting))
    with old.tls_socket() as slow:
        send(slow, "GET", PATH)
        request = replica.request()
        took_over(run(settings, "--takeover", meeting))
        old.stderr.wait_for("has taken over")
        old.signal(signal.SIGTERM)  # as a supervisor does
        old.stderr.wait_for("draining already")
        request.reply(b"old")
        assert read_reply(slow).body == b"old"
    assert ended(old) == 0


# -- the other side played by the test: the messages are those of server/app/handover.hpp


def unix_listener(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(PATIENCE)
    return listener


@contextlib.contextmanager
def successor_at(path):
    """The connection of a successor that has got the sockets, and their descriptors."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        text, descriptors, _, _ = socket.recv_fds(connection, 65536, 250)
        try:
            yield connection, text
        finally:
            for each in descriptors:
                os.close(each)


def test_what_is_queued_when_it_takes_over_is_served(run, settings, meeting):
    with unix_listener(meeting) as handing, socket.create_server(("127.0.0.1", 0), backlog=64) as http:
        address = "127.0.0.1:%d" % http.getsockname()[1]
        settings |= {"allowInsecureConnections": True, "listen": {"https": [], "http": [address]}}
        queued = [socket.create_connection(http.getsockname(), timeout=PATIENCE) for _ in range(30)]
        for number, sock in enumerate(queued):
            send(sock, "POST", PATH, f"queued {number}")

        new = run(settings, "--takeover", meeting)
        connection, _ = handing.accept()
        connection.settimeout(PATIENCE)
        with connection:
            socket.send_fds(connection, [GREETING + f"http {address} {address}\n".encode()], [http.fileno()])
            assert connection.recv(4096) == b"serving\n0\n"
            http.close()
        for number, sock in enumerate(queued):
            assert read_reply(sock, "POST").body == f"queued {number}".encode()
            sock.close()
    serving(new)


def test_the_offer_names_every_socket(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    with successor_at(meeting) as (_, text):
        assert text.decode() == (GREETING.decode() + f"https 127.0.0.1:0 127.0.0.1:{gate.https}\n"
                                 f"http 127.0.0.1:0 127.0.0.1:{gate.http}\nadmin 127.0.0.1:0 127.0.0.1:{gate.admin}\n")


@pytest.mark.parametrize("says", [None, b"serving\n7\n", b"rubbish"])
def test_a_successor_that_does_not_come_to_serve_changes_nothing(run, settings, meeting, says):
    gate = serving(run(settings, "--takeover", meeting))
    with successor_at(meeting) as (connection, _):
        if says:
            connection.send(says)
    gate.stderr.wait_for("has ended before it served: this one goes on")
    assert score(gate).headers["Connection"] != "close"
    assert gate.ask_admin("/readyz").status == 200
    took_over(run(settings, "--takeover", meeting))
    assert ended(gate) == 0


def test_a_successor_that_cannot_start_changes_nothing(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = "127.0.0.1:%d" % taken.getsockname()[1]
        failed = run({**settings, "listen": {**settings["listen"], "http": [more]}}, "--takeover", meeting)
        assert ended(failed) == 1
        assert f"cannot listen on {more}" in failed.stderr.text
    gate.stderr.wait_for("this one goes on")
    assert score(gate).status == 200
    assert not list(meeting.parent.glob("takeover.sock.*"))


def test_a_successor_that_dies_with_the_name_already_its_own(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    with successor_at(meeting), unix_listener(meeting.with_suffix(".new")):
        os.rename(meeting.with_suffix(".new"), meeting)
    gate.stderr.wait_for("this one goes on")
    wait_until(lambda: connects(meeting))
    gate_two = took_over(run(settings, "--takeover", meeting))
    assert ended(gate) == 0
    assert score(gate_two).status == 200


def connects(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(path))
            return True
        except ConnectionRefusedError:
            return False


@pytest.mark.parametrize("insecure", [False, True])
def test_a_successor_that_dies_after_it_has_changed_the_sockets(run, settings, meeting, insecure):
    """One that wanted TLS off, or on, where it is not."""
    gate = serving(run({**settings, "allowInsecureConnections": insecure}, "--takeover", meeting))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(meeting))
        _, descriptors, _, _ = socket.recv_fds(connection, 65536, 250)
        with contextlib.ExitStack() as held:
            https, *_ = [held.enter_context(socket.socket(fileno=each)) for each in descriptors]
            port = https.getsockname()[1]
            if insecure:
                https.listen()
            else:
                https.shutdown(socket.SHUT_RDWR)
            assert gate.refuses_connections(port) != insecure
    gate.stderr.wait_for("this one goes on")
    wait_until(lambda: gate.refuses_connections(port) == insecure)
    assert (gate.plain_request if insecure else gate.request)("POST", PATH, "{}").status == 200


def test_a_socket_that_cannot_listen_any_more_ends_the_start(run, settings, meeting):
    """Another socket has begun to listen at its address while it was paused. The https socket, which the successor would
    have paused, is left as it was."""
    with unix_listener(meeting) as handing, socket.create_server(("127.0.0.1", 0)) as https, contextlib.ExitStack() as held:
        picked, paused, other = [held.enter_context(socket.socket()) for _ in range(3)]
        for each in (picked, paused, other):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        picked.bind(("127.0.0.1", 0))
        paused.bind(picked.getsockname())
        other.bind(picked.getsockname())
        other.listen()
        names = ["127.0.0.1:%d" % each.getsockname()[1] for each in (https, paused)]
        settings |= {"allowInsecureConnections": True, "listen": {"https": names[:1], "http": names[1:]}}
        new = run(settings, "--takeover", meeting)
        connection, _ = handing.accept()
        connection.settimeout(PATIENCE)
        with connection:
            offer = f"https {names[0]} {names[0]}\nhttp {names[1]} {names[1]}\n"
            socket.send_fds(connection, [GREETING + offer.encode()], [https.fileno(), paused.fileno()])
            assert connection.recv(4096) == b""  # it does not serve
        assert ended(new) == 1
        assert f"cannot listen on {names[1]}: Address already in use" in new.stderr.text
        socket.create_connection(https.getsockname(), timeout=PATIENCE).close()


def test_one_successor_at_a_time(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    with successor_at(meeting):
        second = run(settings, "--takeover", meeting)
        assert ended(second) == 1
        assert f"process {os.getpid()} is taking over from it already" in second.stderr.text
    assert score(gate).status == 200


def test_a_successor_with_a_bad_configuration_does_not_even_ask(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    assert run({**settings, "colour": "blue"}, "--takeover", meeting).wait() == 2
    took_over(run(settings, "--takeover", meeting))
    assert ended(gate) == 0
    assert gate.stderr.text.count("asks for the listening sockets") == 1


def test_a_predecessor_that_hangs_is_told_of(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    gate.signal(signal.SIGSTOP)
    try:
        new = run(settings, "--takeover", meeting)
        assert ended(new) == 1
    finally:
        gate.signal(signal.SIGCONT)
    assert f"process {gate.pid} does not answer within 5000 ms" in new.stderr.text
    assert score(gate).status == 200


# -- the name


@pytest.mark.parametrize("stale", [False, True])
def test_where_nobody_listens_it_starts_as_usual(run, settings, meeting, stale):
    if stale:
        unix_listener(meeting).close()
    gate = serving(run(settings, "--takeover", meeting))
    assert score(gate).status == 200
    wait_until(lambda: stat.S_ISSOCK(meeting.stat().st_mode) and connects(meeting))
    assert stat.S_IMODE(meeting.stat().st_mode) == 0o600
    gate.signal(signal.SIGTERM)
    assert ended(gate) == 0
    assert [each.name for each in meeting.parent.glob("takeover.sock*")] == []


def test_a_name_that_somebody_has_removed_is_made_again(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    wait_until(lambda: meeting.exists())
    meeting.unlink()
    gate.stderr.wait_for("has been removed: it is made again")
    wait_until(lambda: meeting.exists() and connects(meeting))
    took_over(run(settings, "--takeover", meeting))
    assert ended(gate) == 0


def test_a_file_that_is_no_socket_is_left_alone(run, settings, meeting):
    meeting.write_text("precious")
    gate = run(settings, "--takeover", meeting)
    assert ended(gate) == 2
    assert f"{meeting} is there and is not a socket" in gate.stderr.text
    assert meeting.read_text() == "precious"


@pytest.mark.parametrize("path", ["", "/" + 95 * "x"])
def test_a_path_that_no_socket_can_have(run, settings, path):
    gate = run(settings, "--takeover", path)
    assert ended(gate) == 2
    assert "scoregate: --takeover: " in gate.stderr.text


def test_a_folder_that_is_not_there_is_an_error_of_the_start(run, settings, tmp_path):
    gate = run(settings, "--takeover", tmp_path / "nowhere/takeover.sock")
    assert ended(gate) == 1
    assert "for a successor: No such file or directory" in gate.stderr.text


# -- addresses


def test_a_port_in_use_is_an_error(run, settings, meeting):
    gate = serving(run(settings, "--takeover", meeting))
    settings = {**settings, "listen": {"https": [f"127.0.0.1:{gate.https}"], "http": []}}
    plain = run(settings)
    assert ended(plain) == 1
    assert "Address already in use (a running scoregate that was started with --takeover" in plain.stderr.text
    elsewhere = run(settings, "--takeover", meeting.with_name("other.sock"))
    assert ended(elsewhere) == 1
    assert "Address already in use, by who does not listen at the socket of --takeover" in elsewhere.stderr.text
    assert score(gate).status == 200


def test_addresses_that_come_and_go(run, settings, meeting):
    old = serving(run(settings, "--takeover", meeting))
    # What was port 0 may be named by its number, for another purpose too.
    changed = {**settings, "listen": {"https": ["127.0.0.1:0", f"127.0.0.1:{old.https}"], "http": []}}
    new = took_over(run(changed, "--takeover", meeting))
    assert f"http 127.0.0.1:{old.http} was served until now and is not in this configuration" in new.stderr.text
    assert ended(old) == 0
    assert old.refuses_connections(old.http)
    ports = {int(line.rsplit(":", 1)[1]) for line in new.stderr.text.splitlines() if " listening https " in line}
    assert old.https in ports and len(ports) == 2
    for port in ports:
        with new.context().wrap_socket(new.plain_socket(port), server_hostname="localhost") as sock:
            assert exchange(sock, "POST", PATH, "{}").status == 200


def test_a_wider_address_is_told_of(run, settings, meeting):
    old = serving(run({**settings, "listen": {"https": ["0.0.0.0:0"], "http": []}}, "--takeover", meeting))
    new = took_over(run({**settings, "listen": {"https": [f"[::]:{old.https}"], "http": []}}, "--takeover", meeting))
    assert (f"0.0.0.0:{old.https} is taken over for [::]:{old.https}: IPv6 is not accepted until scoregate has been "
            "stopped and started again") in new.stderr.text
    assert ended(old) == 0
    assert score(new).status == 200


@pytest.mark.parametrize("insecure_first", [True, False])
def test_tls_is_switched_by_an_upgrade(run, settings, meeting, insecure_first):
    secure, insecure = settings, {**settings, "allowInsecureConnections": True}
    before, after = (insecure, secure) if insecure_first else (secure, insecure)
    old = serving(run(before, "--takeover", meeting))
    new = took_over(run(after, "--takeover", meeting))
    assert ended(old) == 0
    if insecure_first:
        assert score(new).status == 200
    else:
        assert new.plain_request("POST", PATH, "{}").status == 200
        wait_until(lambda: new.refuses_connections(old.https))


# -- LISTEN_FDS

LAUNCHER = f"""#!/usr/bin/python3
import os, sys
for to, passed in enumerate(os.environ["PASSED"].split(","), 3):
    os.dup2(int(passed), to + 100)
    os.dup2(to + 100, to)
os.environ["LISTEN_FDS"] = str(len(os.environ["PASSED"].split(",")))
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv({str(BINARY)!r}, [{str(BINARY)!r}] + sys.argv[1:])
"""


@pytest.fixture
def activate(run, tmp_path):
    """activate(settings, sockets): a scoregate to which these are passed."""
    launcher = tmp_path / "launcher"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)

    def activate_one(settings, sockets, *arguments, **variables):
        numbers = [each.fileno() for each in sockets]
        return run(settings, *arguments, binary=launcher, pass_fds=numbers,
                   variables={"PASSED": ",".join(map(str, numbers)), **variables})

    return activate_one


def address_of(sock):
    return "%s:%d" % sock.getsockname()


def test_sockets_that_systemd_passes_outlive_a_restart(activate, settings):
    with socket.create_server(("127.0.0.1", 0)) as https, socket.create_server(("127.0.0.1", 0)) as admin:
        settings |= {"listen": {"https": [address_of(https)], "http": []}, "admin": {"listen": address_of(admin)}}
        first = serving(activate(settings, [admin, https]))
        assert score(first).status == 200
        assert first.ask_admin("/readyz").status == 200
        first.signal(signal.SIGTERM)
        assert ended(first) == 0
        with first.plain_socket(https.getsockname()[1]) as waiting:  # nobody accepts it
            second = serving(activate(settings, [https, admin]))
            with second.context().wrap_socket(waiting, server_hostname="localhost") as sock:
                assert exchange(sock, "POST", PATH, "{}").status == 200


def test_a_socket_that_no_address_names_is_refused(activate, settings):
    with socket.create_server(("127.0.0.1", 0)) as stray:
        gate = activate(settings, [stray])
        assert ended(gate) == 1
        assert (f"LISTEN_FDS passes a socket that listens on {address_of(stray)}, which neither listen.https, listen.http "
                "nor admin.listen names") in gate.stderr.text


def test_a_socket_that_is_no_tcp_socket_is_refused(activate, settings, tmp_path):
    with unix_listener(tmp_path / "stray.sock") as stray:
        gate = activate(settings, [stray])
        assert ended(gate) == 1
        assert "LISTEN_FDS passes descriptor 3, which is not a TCP socket" in gate.stderr.text


def test_sockets_meant_for_another_process_are_left_alone(activate, settings):
    with socket.create_server(("127.0.0.1", 0)) as stray:
        assert score(serving(activate(settings, [stray], LISTEN_PID="1"))).status == 200


def test_passed_sockets_may_be_handed_over_too(activate, settings, meeting):
    with socket.create_server(("127.0.0.1", 0)) as https:
        settings |= {"listen": {"https": [address_of(https)], "http": []}}
        old = serving(activate(settings, [https], "--takeover", meeting))
        new = took_over(activate(settings, [https], "--takeover", meeting))
        assert ended(old) == 0
        assert score(new).status == 200
