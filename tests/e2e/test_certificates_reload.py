"""Renewed certificates: however the files are replaced, what is refused, and what goes on meanwhile."""
import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

import pem
from process import wait_until
from replacing import Volume, files_in, kubernetes, link_swapped, renamed_over, written_in_place
from replica import Replica
from scoregate import command, exchange, read_reply, send, service

SERVICES = {"iris": service("http://127.0.0.1:1")}
PATH = "/api/v1/service/stream/score"
NOTICED = 2  # seconds, as docs/certificates.md promises
PATIENCE_WITH_A_PAIR = 10  # seconds that a pair may be no good before that is a failure
UNIT = "certificate:localhost"


def await_serial(gate, pair, name="localhost"):
    wait_until(lambda: gate.served_serial(name) == pair.serial, timeout=NOTICED)


def reloads(gate, unit=UNIT):
    """(successes, failures)"""
    return tuple(gate.metric("scoregate_reloads_total", unit=unit, result=result) for result in ("success", "failure"))


def all_well(gate):
    return gate.metric("scoregate_config_last_reload_successful") == 1


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tls").mkdir()
    return tmp_path / "tls"


@pytest.fixture
def volume(folder, renewals):
    with contextlib.closing(Volume(folder, renewals[0])) as made:
        yield made


@pytest.fixture
def served(start, folder, renewals):
    """A scoregate that serves renewals[0] from `folder`."""
    renamed_over(folder, renewals[0])
    return start(SERVICES, certificate=files_in(folder, renewals[0]))


@pytest.fixture
def two(start, folder, renewals, authority, tmp_path):
    """A scoregate with two pairs, localhost of `folder` and other.example: (it, what renews the other one).

    One look at the files takes in both, localhost first. So once a renewed other.example is served, what was done to
    localhost before has been seen.
    """
    renamed_over(folder, renewals[0])
    beside = tmp_path / "other"
    beside.mkdir()
    renamed_over(beside, authority.issue("other.example"))
    gate = start(SERVICES, certificate=files_in(folder, renewals[0]),
                 certificates=[files_in(beside, renewals[0]).settings | {"sslCname": "other.example"}])

    def renew_other():
        renewed = authority.issue("other.example")
        renamed_over(beside, renewed)
        await_serial(gate, renewed, "other.example")

    return gate, renew_other


# -- noticed

@pytest.mark.parametrize("replaced", [written_in_place, renamed_over, link_swapped])
def test_a_renewed_pair_is_served(start, folder, renewals, replaced):
    replaced(folder, renewals[0])
    gate = start(SERVICES, certificate=files_in(folder, renewals[0]))
    for renewed in renewals[1:3]:
        replaced(folder, renewed)
        await_serial(gate, renewed)
    gate.stderr.wait_for(f"{UNIT}.*{renewals[2].serial}")


@pytest.mark.parametrize("names", [("cert.pem", "key.pem"), ("tls.crt", "tls.key")], ids=["azure", "cert-manager"])
def test_a_renewed_secret_of_kubernetes_is_served(start, folder, renewals, names):
    swapped = kubernetes(names)
    swapped(folder, renewals[0])
    gate = start(SERVICES, certificate=pem.Secret(folder, renewals[0].ca))
    for renewed in renewals[1:3]:
        swapped(folder, renewed)
        await_serial(gate, renewed)


def test_a_renewed_pair_on_a_volume_without_events_is_served(start, volume, renewals):
    gate = start(SERVICES, certificate=volume.pair)
    for renewed in renewals[1:3]:
        volume.put(renewed)
        await_serial(gate, renewed)


def by_admin_port(gate):
    return gate.reload().status == 200


def by_command(gate):
    return command("reload", "--admin", gate.admin_url).returncode == 0


@pytest.mark.parametrize("reload", [by_admin_port, by_command])
def test_who_asks_for_a_reload_gets_it_at_once(start, volume, renewals, reload):
    gate = start(SERVICES, certificate=volume.pair)
    volume.put(renewals[1])
    assert reload(gate)
    assert gate.served_serial() == renewals[1].serial


@contextlib.contextmanager
def busy_with_handshakes(gate, clients=2):
    """Connects all the time, from processes that do not wait for this one."""
    connecting = ["openssl", "s_time", "-new", "-connect", f"127.0.0.1:{gate.https}", "-CAfile", str(gate.ca), "-time", "600"]
    with contextlib.ExitStack() as running:
        each = [running.enter_context(subprocess.Popen(connecting, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                for _ in range(clients)]
        for one in each:
            running.callback(one.kill)
        wait_until(lambda: gate.metric("scoregate_tls_handshakes_total") >= 100)
        yield
        assert all(one.poll() is None for one in each)


def test_who_connects_once_a_reload_is_answered_meets_the_new_pair_however_busy_the_workers_are(start, folder, renewals):
    """As often as five seconds allow: of those that meet what is replaced there were one or two in a hundred."""
    renamed_over(folder, renewals[0])
    gate = start(SERVICES, certificate=files_in(folder, renewals[0]), workers=2)
    context = gate.context()
    met = []
    with busy_with_handshakes(gate):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            renewed = renewals[(len(met) + 1) % 2]
            renamed_over(folder, renewed)
            assert gate.reload().status == 200
            with gate.tls_socket(context) as sock:
                met.append(sock.getpeercert()["serialNumber"] == renewed.serial)
    assert met and all(met), (met.count(False), len(met))


def test_sighup_reads_the_pair_without_waiting(start, volume, renewals):
    """Nobody is patient with a pair that is no good when somebody says that it is ready."""
    gate = start(SERVICES, certificate=volume.pair)
    volume.put(pem.Pair(renewals[1].certificate, renewals[2].key, renewals[1].ca))
    asked = time.monotonic()
    gate.signal(signal.SIGHUP)
    gate.stderr.wait_for(f"{UNIT} refused")
    assert time.monotonic() - asked < PATIENCE_WITH_A_PAIR
    volume.put(renewals[1])
    gate.signal(signal.SIGHUP)
    await_serial(gate, renewals[1])


def test_unchanged_content_is_not_a_reload(two, folder, renewals):
    gate, renew_other = two
    for again in (lambda: os.utime(folder / "cert.pem"), lambda: written_in_place(folder, renewals[0]),
                  lambda: renamed_over(folder, renewals[0]), lambda: gate.file.write_text(gate.file.read_text())):
        again()
        renew_other()
    assert gate.reload().status == 200
    assert reloads(gate) == (0, 0)
    assert reloads(gate, "configuration")[1] == 0
    assert gate.served_serial() == renewals[0].serial


# -- no good

NO_GOOD = {
    "the key of another": (lambda a, r: pem.Pair(r[1].certificate, r[2].key, a.ca), "key.pem.*does not match.*use the key"),
    "expired": (lambda a, _: a.issue("localhost", days=(-60, -30)), "cert.pem.*expired.*renew|outside its validity.*valid one"),
    "not yet valid": (lambda a, _: a.issue("localhost", days=(1, 90)), "outside its validity.*valid one"),
    "for another name": (lambda a, _: a.issue("other.example"), "sslCname.*other.example.*set sslCname"),
    "weak": (lambda a, _: a.issue("localhost", key="rsa:1024"), "RSA 1024.*at least 2048"),
}


@pytest.mark.parametrize("case", NO_GOOD)
def test_a_pair_that_is_no_good_changes_nothing_and_is_told(served, folder, authority, renewals, case):
    make, remedy = NO_GOOD[case]
    bad = make(authority, renewals)
    renamed_over(folder, bad)
    refused = served.reload()
    assert refused.status == 422
    assert any(re.search(remedy, problem["message"]) or re.search(remedy, problem["pointer"] + problem["message"])
               for problem in refused.json["problems"]), refused.json
    served.stderr.wait_for(f"(?i)error.*({remedy})")
    assert served.served_serial() == renewals[0].serial
    assert reloads(served) == (0, 1)
    assert not all_well(served)
    told = served.status()["reloads"][UNIT]
    assert told["last_result"] == "failed"
    assert re.search(remedy, " ".join(told["problems"]))

    renamed_over(folder, renewals[1])
    assert served.reload().status == 200
    assert served.served_serial() == renewals[1].serial
    assert reloads(served) == (1, 1)
    assert all_well(served)
    assert "problems" not in served.status()["reloads"][UNIT]


def test_a_file_that_is_gone_is_told(served, folder, renewals):
    (folder / "key.pem").unlink()
    assert served.reload().status == 422
    served.stderr.wait_for("(?i)error.*key.pem")
    assert served.served_serial() == renewals[0].serial
    shutil.copyfile(renewals[0].key, folder / "key.pem")  # what is in force already: nothing is left to mend
    wait_until(lambda: all_well(served))
    assert reloads(served) == (0, 1)


def test_the_certificate_before_its_key(two, folder, renewals):
    """A pair that does not match for a moment is waited out."""
    gate, renew_other = two
    os.replace(shutil.copyfile(renewals[1].certificate, folder / "new"), folder / "cert.pem")
    renew_other()
    assert reloads(gate) == (0, 0) and all_well(gate)
    assert gate.served_serial() == renewals[0].serial
    os.replace(shutil.copyfile(renewals[1].key, folder / "new"), folder / "key.pem")
    await_serial(gate, renewals[1])
    assert reloads(gate) == (1, 0) and all_well(gate)


def test_after_ten_seconds_it_is_a_failure_and_delays_nobody(two, folder, renewals):
    gate, renew_other = two
    began = time.monotonic()
    shutil.copyfile(renewals[1].certificate, folder / "cert.pem")
    renew_other()
    gate.configure(gate.settings | {"services": {"second": service("http://127.0.0.1:1")}})
    wait_until(lambda: gate.request("GET", "/api/v1/service/second/score").fault == "connect_failed", timeout=NOTICED)
    assert all_well(gate)

    gate.stderr.wait_for("(?i)error.*key.pem.*does not match", timeout=PATIENCE_WITH_A_PAIR + 5)
    assert time.monotonic() - began >= PATIENCE_WITH_A_PAIR
    wait_until(lambda: not all_well(gate))
    renew_other()
    assert reloads(gate) == (0, 1)  # once, however often it is looked at
    assert reloads(gate, "certificate:other.example") == (2, 0)
    assert reloads(gate, "configuration") == (1, 0)
    assert gate.served_serial() == renewals[0].serial


def test_a_broken_configuration_does_not_hold_up_a_certificate(served, folder, renewals):
    served.file.write_text("{")
    served.stderr.wait_for("(?i)error.*configuration refused")
    renamed_over(folder, renewals[1])
    await_serial(served, renewals[1])
    asked = served.reload()
    assert asked.status == 422 and "scoregate.json" in asked.body.decode()
    renamed_over(folder, renewals[2])
    served.reload()
    assert served.served_serial() == renewals[2].serial
    assert reloads(served) == (2, 0)
    assert not all_well(served)


# -- meanwhile

def test_open_connections_are_untouched(start, folder, renewals, replica):
    renamed_over(folder, renewals[0])
    gate = start({"stream": service(replica.url)}, certificate=files_in(folder, renewals[0]))
    with gate.tls_socket() as slow, gate.tls_socket() as kept:
        send(slow, "POST", PATH, b"question")
        request = replica.request()
        assert request.body() == b"question"
        assert exchange(kept, "GET", "/", keep=True).status == 200

        renamed_over(folder, renewals[1])
        await_serial(gate, renewals[1])

        assert exchange(kept, "GET", "/", keep=True).body == b"Healthy"
        assert kept.getpeercert()["serialNumber"] == renewals[0].serial
        request.reply(b"worth waiting for")
        assert read_reply(slow).body == b"worth waiting for"
        assert exchange(slow, "GET", "/").status == 200


def test_a_swap_every_100_ms_fails_nobody(start, folder, renewals):
    """Each client goes on until the end; what fails for one of them fails the test."""
    swaps, interval = 50, 0.1
    enough = threading.Event()
    serials = set()

    def answer(request):
        request.body()
        request.reply(b"answer")

    def scores(sock, keep):
        assert exchange(sock, "POST", PATH, b"question", keep=keep).body == b"answer"

    def keeps_its_connection(gate):
        count = 0
        with gate.tls_socket() as sock:
            while not enough.is_set():
                scores(sock, keep=True)
                count += 1
        return count

    def connects_anew(gate):
        count = 0
        while not enough.is_set():
            sock = gate.tls_socket()
            serials.add(sock.getpeercert()["serialNumber"])
            scores(sock, keep=False)
            count += 1
        return count

    def resumes(gate):
        """Where the certificate was replaced it gets a full handshake instead."""
        count, session, context = 0, None, gate.context()
        while not enough.is_set():
            sock = gate.tls_socket(context, session=session)
            session = sock.session
            scores(sock, keep=False)
            count += 1
        return count

    renamed_over(folder, renewals[0])
    with Replica(answer) as replica, concurrent.futures.ThreadPoolExecutor() as threads:
        gate = start({"stream": service(replica.url)}, certificate=files_in(folder, renewals[0]), workers=2)
        kinds = (keeps_its_connection, keeps_its_connection, connects_anew, connects_anew, resumes)
        clients = [threads.submit(each, gate) for each in kinds]
        try:
            for number in range(swaps):
                renamed_over(folder, renewals[(number + 1) % len(renewals)])
                failed, _ = concurrent.futures.wait(clients, interval, concurrent.futures.FIRST_COMPLETED)
                if failed:
                    break
        finally:
            enough.set()
        requests = [each.result() for each in clients]

    assert all(count > swaps for count in requests), requests
    assert len(serials) >= 3
    assert gate.metric("scoregate_tls_handshake_failures_total") == 0
    successes, failures = reloads(gate)
    assert successes > swaps / 5 and failures == 0
