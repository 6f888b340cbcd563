"""Certificates that a provider issues: a real ACME CA asks on the HTTP port, lego orders, scoregate serves."""
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import types

import pytest

from dnsmasq import Dns, free_port
from pebble import Pebble
from process import wait_until
from scoregate import BINARY, Scoregate, configuration, environment, exchange, service

NAME = "www.contoso.test"
SUFFIX = "models.test"
ORDER = 60  # seconds that an order may take: the client waits some between its questions


@pytest.fixture
def world(tmp_path, ecdsa, echoing):
    """A provider, a DNS that leads it here, and a configuration that orders there."""
    with Dns(tmp_path, {NAME: ["127.0.0.1"]}, wildcards={SUFFIX: "127.0.0.1"}) as dns:
        http_port = free_port()
        one = types.SimpleNamespace(dns=dns, gates=[], folder=tmp_path, state=tmp_path / "acme")

        def provider(lifetime=90 * 24 * 3600):
            one.pebble = Pebble(tmp_path, ecdsa, http_port, dns, lifetime)
            return one.pebble

        def settings(label=None, top={}, **more):
            drawn = {"leafDomainLabel": label, "domainSuffix": SUFFIX} if label else {}
            acme = {"directory": one.pebble.directory, "contact": "ops@contoso.test", "state_dir": "acme",
                    "ca_file": str(ecdsa.ca), **drawn, **more}
            made = configuration({"echo": service(echoing.url)}, None, acme=acme, dns={"servers": [dns.server]})
            made["listen"]["http"] = [f"127.0.0.1:{http_port}"]
            return (made if label else {**made, "sslCname": NAME}) | top

        def start(*, arguments=(), **more):
            gate = Scoregate(tmp_path, settings(**more), arguments=arguments)
            one.gates.append(gate)
            return gate

        def wait_issued(gate):
            wait_until(lambda: gate.ask_admin("/readyz").status == 200, timeout=ORDER)
            # Ready is said before the order is told of, and before the port accepts.
            wait_until(lambda: gate.status()["acme"]["state"] == "issued")
            wait_until(lambda: not gate.refuses_connections(gate.https))
            gate.ca = one.pebble.write_root(tmp_path / "root.pem")
            return gate

        def put(pair):
            """In the place of an issued one."""
            (one.state / NAME).mkdir(parents=True)
            shutil.copy(pair.certificate, one.state / NAME / "cert.pem")
            shutil.copy(pair.key, one.state / NAME / "key.pem")

        one.provider, one.settings, one.start, one.wait_issued, one.put = provider, settings, start, wait_issued, put
        yield one
        for gate in one.gates:
            gate.stop()


def run(*words):
    """A command that may take as long as an order."""
    return subprocess.run([BINARY, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment(), timeout=ORDER)


def scored(gate, name):
    """Over TLS, the certificate verified as a client does."""
    return exchange(gate.tls_socket(name=name), "POST", "/api/v1/service/echo/score", b"{}").status


def served(gate):
    """Name and serial of the certificate, as the operator sees it."""
    one, = gate.status()["certificates"]
    return one["cname"], one["serial"]


def test_a_certificate_is_issued_and_served(world):
    with world.provider():
        gate = world.wait_issued(world.start())
        assert scored(gate, NAME) == 200
        said = gate.status()["acme"]
        assert (said["domain"], said["state"], said["failures"]) == (NAME, "issued", 0)
        # A third of the lifetime is 30 days, and more it is not.
        left = datetime.datetime.fromisoformat(said["next_attempt"].replace("Z", "+00:00")) - datetime.datetime.now(datetime.timezone.utc)
        assert datetime.timedelta(days=59) < left < datetime.timedelta(days=61)
        assert gate.metric("scoregate_acme_orders_total", result="success") == 1
        gate.stderr.wait_for(rf"acme: issued: serial [0-9A-F]+ for {NAME}")
        key = (world.state / NAME / "key.pem").read_text()
        assert (world.state / NAME / "key.pem").stat().st_mode & 0o077 == 0
        assert not any(line in gate.stderr.text for line in key.splitlines()[1:-1])


def test_https_stays_closed_until_one_is_issued(world):
    provider = world.provider()  # not started: it refuses connections
    gate = world.start()
    gate.stderr.wait_for(r"acme: no certificate for www\.contoso\.test: .*the next attempt is in \d+ s", timeout=ORDER)
    gate.stderr.wait_for("HTTPS stays closed, and scoregate not ready")
    ready = gate.ask_admin("/readyz")
    assert (ready.status, ready.body) == (503, b"not ready: no certificate has been issued yet\n")
    probe = run("health", "--admin", gate.admin_url)
    assert probe.returncode == 1 and probe.stderr.endswith("GET /readyz: no certificate has been issued yet\n"), probe.stderr
    assert "listening https" not in gate.stderr.text
    said = gate.status()
    assert said["certificates"] == [] and said["acme"]["state"] == "failing" and said["acme"]["failures"] == 1
    assert "refused" in said["acme"]["last_error"]
    # It is waited out: a minute, and up to a quarter more.
    soonest = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=80)
    assert datetime.datetime.fromisoformat(said["acme"]["next_attempt"].replace("Z", "+00:00")) < soonest
    assert gate.metric("scoregate_acme_orders_total", result="failure") == 1
    health = gate.ask_admin("/history").json["health"]
    assert health["level"] == "bad" and any("HTTPS is closed" in each["text"] for each in health["findings"])

    # What is ordered by hand is served without a restart.
    with provider:
        done = run("cert", "auto", "--config", gate.file)
        assert (done.returncode, "issued: serial" in done.stdout) == (0, True), done.stderr
        world.wait_issued(gate)
        assert scored(gate, NAME) == 200
        assert "last_error" not in gate.status()["acme"]


def test_challenges_are_served_in_clear_and_nothing_else(world):
    world.provider()
    gate = world.start()
    token = "a_token-of-43-characters-as-providers-make-"
    folder = world.state / "webroot/.well-known/acme-challenge"
    wait_until(lambda: gate.ask_admin("/healthz").status == 200)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / token).write_text(f"{token}.thumbprint")
    (folder / "other").write_text("not a key authorization")
    (folder / "link").symlink_to(gate.file)
    reply = gate.plain_request("GET", f"/.well-known/acme-challenge/{token}")
    assert (reply.status, reply.body) == (200, f"{token}.thumbprint".encode())
    for strange in ["unknown", "other", "link"]:
        assert gate.plain_request("GET", f"/.well-known/acme-challenge/{strange}").status == 404
    for no_token in ["", "a.b", "a/b", "a%2fb", "x" * 129]:
        assert gate.plain_request("GET", f"/.well-known/acme-challenge/{no_token}").status in (308, 400)
    assert gate.plain_request("POST", f"/.well-known/acme-challenge/{token}", b"x").status == 403


def test_the_label_is_drawn_once_and_kept(world):
    with world.provider():
        gate = world.wait_issued(world.start(label="contoso"))
        name, serial = served(gate)
        assert re.fullmatch(rf"contoso[a-z0-9]{{6}}\.{re.escape(SUFFIX)}", name)
        assert (world.state / "domain").read_text() == f"{name}\n"
        assert f"https://{name}" in gate.status()["scoring_uris"][0]
        assert scored(gate, name) == 200

        # Renewed it has the same name, and so it has after a restart, which orders nothing.
        assert run("cert", "renew", "--force", "--config", gate.file).returncode == 0
        wait_until(lambda: served(gate)[1] != serial)
        renewed = served(gate)
        assert renewed[0] == name
        gate.stop()
        world.gates.remove(gate)
        again = world.wait_issued(world.start(label="contoso"))
        assert served(again) == renewed
        assert again.metric("scoregate_acme_orders_total", result="success") == 0


def test_overwrite_draws_anew(world):
    with world.provider():
        gate = world.wait_issued(world.start(label="contoso"))
        before, serial = served(gate)
        done = run("cert", "auto", "--overwrite-existing-domain", "--config", gate.file)
        assert done.returncode == 0, done.stderr
        name = (world.state / "domain").read_text().strip()
        assert name != before and f"the name is {name} in place of {before}" in done.stdout
        # What runs goes on under the old name, and says what to do where somebody asks it to take the new one.
        refused = gate.reload()
        assert refused.status == 422 and b"/acme" in refused.body and b"restart" in refused.body
        assert served(gate) == (before, serial) and scored(gate, before) == 200
        gate.stop()
        world.gates.remove(gate)
        again = world.wait_issued(world.start(label="contoso"))
        assert served(again)[0] == name and scored(again, name) == 200


def test_overwrite_needs_a_name_that_was_drawn(world):
    world.provider()
    file = world.folder / "scoregate.json"
    file.write_text(json.dumps(world.settings()))
    done = run("cert", "auto", "--overwrite-existing-domain", "--config", file)
    assert done.returncode == 2 and "leafDomainLabel" in done.stderr


def test_one_that_is_due_is_renewed_by_itself(world, authority):
    world.put(authority.issue(NAME, days=(-60, 10)))
    with world.provider():
        gate = world.start()
        gate.stderr.wait_for(r"listening https")  # with what is there
        gate.stderr.wait_for(rf"acme: issued: serial [0-9A-F]+ for {NAME}", timeout=ORDER)
        world.wait_issued(gate)
        assert scored(gate, NAME) == 200
        assert gate.metric("scoregate_acme_orders_total", result="success") == 1


def test_one_that_has_expired_is_renewed_by_hand_too(world, authority):
    world.put(authority.issue(NAME, days=(-60, -1)))
    world.provider()  # not started
    file = world.folder / "scoregate.json"
    file.write_text(json.dumps(world.settings()))
    done = run("cert", "renew", "--config", file)
    assert done.returncode == 1 and f"no certificate for {NAME}: lego ended" in done.stderr


def test_renewal_under_load_loses_nothing(world):
    with world.provider():
        gate = world.wait_issued(world.start())
        first = served(gate)
        enough = threading.Event()

        def load(_):
            """One connection after another, and one that is kept."""
            counted, kept = 0, gate.tls_socket(name=NAME)
            with kept:
                while not enough.is_set():
                    assert scored(gate, NAME) == 200
                    assert exchange(kept, "POST", "/api/v1/service/echo/score", b"{}", keep=True).status == 200
                    counted += 2
            return counted

        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            running = [clients.submit(load, each) for each in range(4)]
            try:
                assert run("cert", "renew", "--force", "--config", gate.file).returncode == 0
                wait_until(lambda: served(gate) != first or any(each.done() for each in running))
                new = served(gate)
                assert scored(gate, NAME) == 200
            finally:
                enough.set()
            assert all(each.result() > 0 for each in running)
        assert new[0] == NAME and new != first
        assert gate.metric("scoregate_acme_orders_total", result="failure") == 0


def test_renew_says_not_needed(world):
    with world.provider():
        gate = world.wait_issued(world.start())
        _, serial = served(gate)
        done = run("cert", "renew", "--config", gate.file)
        assert done.returncode == 0 and re.search(r"^not needed, (89|90) days left", done.stdout), done
        assert served(gate)[1] == serial
        forced = run("cert", "renew", "--force", "--config", gate.file)
        assert forced.returncode == 0, forced.stderr
        fresh = re.search(r"issued: serial (\S+) for", forced.stdout).group(1)
        assert fresh != serial
        wait_until(lambda: served(gate)[1] == fresh)
        assert scored(gate, NAME) == 200


def test_renew_is_refused_for_own_certificates(tmp_path, ecdsa, echoing):
    file = tmp_path / "scoregate.json"
    file.write_text(json.dumps(configuration({"echo": service(echoing.url)}, ecdsa)))
    for words in [["renew"], ["renew", "--force"], ["auto"]]:
        done = run("cert", *words, "--config", file)
        assert done.returncode == 2 and "certificates of your own" in done.stderr and "cert install" in done.stderr


def test_nothing_to_renew_yet(world):
    world.provider()
    file = world.folder / "scoregate.json"
    file.write_text(json.dumps(world.settings()))
    done = run("cert", "renew", "--config", file)
    assert done.returncode == 2 and "cert auto" in done.stderr
    file.write_text(json.dumps(world.settings(top={"allowInsecureConnections": True})))
    for words in [["auto"], ["renew", "--force"]]:
        done = run("cert", *words, "--config", file)
        assert done.returncode == 2 and "allowInsecureConnections" in done.stderr, done.stderr


def test_a_label_beside_own_certificates_is_refused(world, ecdsa):
    world.provider()
    file = world.folder / "scoregate.json"
    for own in [{"sslCertPemFile": "c"}, {"sslKeyPemFile": "k"}, {"sslSecret": "s"}, {"sslCname": NAME}]:
        file.write_text(json.dumps({**world.settings(label="contoso"), **own}))
        done = run("check", "--config", file)
        assert done.returncode == 2 and f"/{next(iter(own))}: is not given beside acme" in done.stderr, done.stderr
    # Nor is the name as it was drawn, with its six characters.
    world.state.mkdir()
    (world.state / "domain").write_text(f"contosoab12cd.{SUFFIX}\n")
    file.write_text(json.dumps(world.settings(label="contosoab12cd")))
    done = run("check", "--config", file)
    assert done.returncode == 2 and 'write "contoso" alone' in done.stderr


def test_dns_check(world):
    world.provider()
    file = world.folder / "scoregate.json"
    file.write_text(json.dumps(world.settings()))

    def check(*addresses):
        done = run("dns", "check", "--config", file, *(word for each in addresses for word in ("--address", each)))
        return done.returncode, done.stdout

    assert check("127.0.0.1") == (0, f"{NAME}: match: 127.0.0.1\n")
    assert check("192.0.2.1", "127.0.0.1")[0] == 0
    assert check("192.0.2.1") == (1, f"{NAME}: mismatch: it leads to 127.0.0.1, not to 192.0.2.1\n")
    assert run("dns", "check", "--config", file, "--address", "here").returncode == 2
    assert run("dns", "check", "--config", file).returncode == 2
    # Without TLS it is the services' hosts that clients use.
    plain = {**world.settings(), "allowInsecureConnections": True}
    plain["services"]["echo"]["hosts"] = ["not-yet.contoso.test"]
    file.write_text(json.dumps(plain))
    code, said = check("127.0.0.1")
    assert code == 1 and said.startswith("not-yet.contoso.test: not yet: ")
    # A name in the wildcard's domain leads there, drawn or not.
    (world.state).mkdir()
    (world.state / "domain").write_text(f"contosoab12cd.{SUFFIX}\n")
    file.write_text(json.dumps(world.settings(label="contoso")))
    assert check("127.0.0.1") == (0, f"contosoab12cd.{SUFFIX}: match: 127.0.0.1\n")


# -- who it runs as, and how it ends

@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_orders_and_owns_what_is_issued(world, open_folder, ecdsa):
    state = open_folder / "acme"
    state.mkdir()
    shutil.chown(state, "nobody")
    shutil.copy(ecdsa.ca, open_folder / "ca.pem")
    here = {"state_dir": str(state), "ca_file": str(open_folder / "ca.pem")}
    with world.provider():
        gate = world.wait_issued(world.start(top={"user": "nobody"}, **here))
        assert scored(gate, NAME) == 200
        # By hand as root, be the user in the configuration or that of a unit: what is made is that user's all the same.
        plain = world.folder / "plain.json"
        plain.write_text(json.dumps(world.settings(**here)))
        for file in [gate.file, plain]:
            serial = served(gate)[1]
            shutil.rmtree(state / "lego")  # to be made anew, and not as root's
            done = run("cert", "renew", "--force", "--config", file)
            assert done.returncode == 0, done.stderr
            wait_until(lambda: served(gate)[1] != serial)
            assert {each.owner() for each in state.rglob("*")} == {"nobody"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_state_that_its_user_cannot_write_to_is_refused(world, open_folder):
    world.provider()
    file = world.folder / "scoregate.json"
    file.write_text(json.dumps(world.settings(top={"user": "nobody"}, state_dir=str(open_folder / "not/there/yet"))))
    done = run("check", "--config", file)
    assert done.returncode == 2 and f"/acme/state_dir: {open_folder} cannot be written to" in done.stderr, done.stderr
    assert "by user nobody" in done.stderr


def test_the_name_of_another_label_is_not_drawn_over(world):
    world.provider()
    world.state.mkdir()
    kept = world.state / "domain"
    kept.write_text(f"fabrikamab12cd.{SUFFIX}\n")
    file = world.folder / "scoregate.json"
    file.write_text(json.dumps(world.settings(label="contoso")))
    for words in [["check"], ["serve"], ["cert", "auto"], ["cert", "renew"]]:
        done = run(*words, "--config", file)
        assert done.returncode == 2 and "--overwrite-existing-domain" in done.stderr, (words, done.stderr)
    assert kept.read_text() == f"fabrikamab12cd.{SUFFIX}\n"


def test_the_end_during_an_order_ends_the_order(world):
    world.provider()
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes a connection, and says nothing
        hanging.settimeout(ORDER)
        gate = world.start(directory=f"https://127.0.0.1:{hanging.getsockname()[1]}/dir")
        client, _ = hanging.accept()
        with client:
            client.settimeout(ORDER)
            wait_until(lambda: gate.status()["acme"]["state"] == "ordering")
            gate.stop()
            world.gates.remove(gate)
            while client.recv(4096):  # until the client is no more
                pass
        assert "drained" in gate.stderr.text


def test_a_runner_that_has_ended_is_told(world):
    world.provider()
    gate = world.start()
    wait_until(lambda: gate.ask_admin("/healthz").status == 200)
    children = pathlib.Path(f"/proc/{gate.pid}/task/{gate.pid}/children")
    runner, = children.read_text().split()
    os.kill(int(runner), 9)
    wait_until(lambda: gate.status()["acme"]["state"] == "runner_gone")
    gate.stderr.wait_for("acme: the process that runs the ACME client has ended: restart")
    wait_until(lambda: children.read_text() == "")
    health = gate.ask_admin("/history").json["health"]
    assert any("HTTPS is closed" in each["text"] and "has ended" in each["text"] for each in health["findings"])


def test_a_hand_over_never_closes_https(world, ecdsa, echoing, authority):
    world.provider()
    control = ["--takeover", str(world.folder / "control")]
    own = configuration({"echo": service(echoing.url)}, ecdsa)
    (world.folder / "before").mkdir()
    before = Scoregate(world.folder / "before", own, ecdsa, arguments=control)
    world.gates.append(before)
    before.wait_ready()
    after = world.start(arguments=control, top={"listen": own["listen"]})
    assert after.wait() == 1
    after.stderr.wait_for(f"serves HTTPS, which this one would close until a certificate for {NAME} has been issued")
    assert before.request("POST", "/api/v1/service/echo/score", b"{}").status == 200
    # With one in place it is an upgrade as any other.
    pair = authority.issue(NAME)
    shutil.rmtree(world.state, ignore_errors=True)
    world.put(pair)
    again = world.start(arguments=control, top={"listen": own["listen"]})
    again.stderr.wait_for("took over")
    assert before.wait() == 0  # until then it accepts, too
    again.ca = pair.ca
    assert scored(again, NAME) == 200
