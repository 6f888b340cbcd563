"""cert install and cert inspect: a certificate replaced by one command, and explained by another."""
import fcntl
import json
import os
import re
import socket
import subprocess

import pytest

import pem
from scoregate import BINARY, command, configuration, environment, service
from spoilt import AS_ANYBODY, SPOILT

SERVICES = {"iris": service("http://127.0.0.1:1")}


def copied(folder, pair, names=("cert.pem", "key.pem")):
    """The pair in files of its own."""
    folder.mkdir(exist_ok=True)
    for old, name in zip((pair.certificate, pair.key), names):
        (folder / name).write_bytes(old.read_bytes())
        (folder / name).chmod(0o600)
    return pem.Pair(folder / names[0], folder / names[1], pair.ca)


def install(gate, pair, *more):
    return command("cert", "install", "--config", gate.file, "--admin", gate.admin_url, "--cert", pair.certificate,
                   "--key", pair.key, *more)


def begin_install(gate, pair, *more):
    return subprocess.Popen([BINARY, "cert", "install", "--config", gate.file, "--admin", gate.admin_url, "--cert",
                             pair.certificate, "--key", pair.key, *more],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def as_anybody(*words):
    """A cert command without the rights of root over files."""
    return subprocess.run([*AS_ANYBODY, BINARY, "cert", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment(), timeout=10)


def assert_line(text, pattern):
    assert re.search(pattern, text, re.MULTILINE), text


def state(folder):
    """Every file with its content, mode and times."""
    return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns, path.stat().st_ino)
            for path in folder.iterdir()}


@pytest.fixture
def in_use(tmp_path, renewals):
    """A pair that may be replaced."""
    return copied(tmp_path / "tls", renewals[0])


@pytest.fixture
def served(start, in_use):
    return start(SERVICES, certificate=in_use)


# -- cert install

def test_install_replaces_the_pair_and_tells_what_is_served(served, in_use, renewals):
    in_use.key.chmod(0o640)
    done = install(served, renewals[1])
    assert done.returncode == 0, done.stderr
    assert f"serial {renewals[1].serial} is served for localhost" in done.stdout
    assert served.served_serial() == renewals[1].serial
    assert in_use.key.stat().st_mode & 0o777 == 0o640
    assert set(in_use.key.parent.iterdir()) == {in_use.certificate, in_use.key}
    assert command("check", "--config", served.file).returncode == 0
    assert not in_use.shows_key(done.stdout + done.stderr)


def test_install_asks_where_the_configuration_has_the_admin_port(start, in_use, renewals):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gate = start(SERVICES, certificate=in_use, admin={"listen": f"127.0.0.1:{port}"})
    done = command("cert", "install", "--config", gate.file, "--cert", renewals[1].certificate, "--key", renewals[1].key)
    assert done.returncode == 0, done.stderr
    assert gate.served_serial() == renewals[1].serial


NO_GOOD = {
    "the key of another": (lambda a, r: pem.Pair(r[1].certificate, r[2].key, a.ca), "does not match"),
    "expired": (lambda a, r: a.issue("localhost", days=(-60, -30)), "expired"),
    "not yet valid": (lambda a, r: a.issue("localhost", days=(1, 90)), "not valid before"),
    "for another name": (lambda a, r: a.issue("other.example"), "not among the subject alternative names"),
    "not there": (lambda a, r: pem.Pair(r[1].certificate, r[1].key.with_name("gone.pem"), a.ca), "gone.pem"),
}


@pytest.mark.parametrize("case", NO_GOOD)
def test_install_of_a_bad_pair_changes_nothing(served, in_use, authority, renewals, case):
    make, reason = NO_GOOD[case]
    before = state(in_use.key.parent)
    done = install(served, make(authority, renewals))
    assert done.returncode == 2
    assert reason in done.stderr and "nothing has changed" in done.stderr and "cert inspect" in done.stderr
    assert state(in_use.key.parent) == before
    assert served.served_serial() == renewals[0].serial
    assert served.metric("scoregate_reloads_total", unit="certificate:localhost") == 0


def test_install_where_it_cannot_write_changes_nothing(served, in_use, renewals):
    folder = in_use.key.parent
    before = state(folder)
    folder.chmod(0o500)
    done = as_anybody("install", "--config", served.file, "--admin", served.admin_url,
                      "--cert", renewals[1].certificate, "--key", renewals[1].key)
    folder.chmod(0o700)
    assert done.returncode == 1, done.stderr
    assert str(folder) in done.stderr and "nothing has changed" in done.stderr
    assert state(folder) == before


def test_install_of_one_of_several(start, in_use, authority, renewals, tmp_path):
    other = copied(tmp_path / "other", authority.issue("other.example"))
    gate = start(SERVICES, certificate=in_use, certificates=[other.settings | {"sslCname": "other.example"}])
    before = state(in_use.key.parent)
    renewed = authority.issue("other.example")
    done = install(gate, renewed, "--cname", "other.example")
    assert done.returncode == 0, done.stderr
    assert f"serial {renewed.serial} is served for other.example" in done.stdout
    assert gate.served_serial("other.example") == renewed.serial
    assert gate.served_serial() == renewals[0].serial
    assert state(in_use.key.parent) == before


def test_install_for_an_unknown_name_names_the_known(served, in_use, renewals):
    before = state(in_use.key.parent)
    done = install(served, renewals[1], "--cname", "unknown.example")
    assert done.returncode == 2
    assert "unknown.example" in done.stderr and "localhost" in done.stderr
    assert state(in_use.key.parent) == before


def test_install_while_none_runs_puts_the_pair_in_place_and_says_so(served, in_use, renewals):
    served.stop()
    done = install(served, renewals[1])
    assert done.returncode == 1
    assert "in place" in done.stderr and served.admin_url in done.stderr
    assert pem.Pair(in_use.certificate, in_use.key, None).serial == renewals[1].serial
    assert command("check", "--config", served.file).returncode == 0


@pytest.mark.parametrize("names", [("cert.pem", "key.pem"), ("tls.crt", "tls.key")], ids=["azure", "cert-manager"])
def test_install_into_a_directory(start, tmp_path, renewals, names):
    copied(tmp_path / "secret", renewals[0], names)
    gate = start(SERVICES, certificate=pem.Secret(tmp_path / "secret", renewals[0].ca))
    done = install(gate, renewals[1])
    assert done.returncode == 0, done.stderr
    assert gate.served_serial() == renewals[1].serial
    assert {path.name for path in (tmp_path / "secret").iterdir()} == set(names)


def test_install_follows_links(start, tmp_path, renewals):
    """What a link leads to is replaced, the link stays."""
    real = copied(tmp_path / "real", renewals[0])
    links = pem.Pair(tmp_path / "cert-link.pem", tmp_path / "key-link.pem", real.ca)
    links.certificate.symlink_to(real.certificate)
    links.key.symlink_to(real.key)
    gate = start(SERVICES, certificate=links)
    assert install(gate, renewals[1]).returncode == 0
    assert links.certificate.is_symlink() and links.key.is_symlink()
    assert pem.Pair(real.certificate, None, None).serial == gate.served_serial() == renewals[1].serial


def test_install_beside_a_broken_configuration(served, renewals):
    """What is wrong elsewhere is no reason to let a certificate expire."""
    served.configure(served.settings | {"colour": "blue"})
    done = install(served, renewals[1])
    assert done.returncode == 0, done.stderr
    assert "/colour" in done.stderr
    assert served.served_serial() == renewals[1].serial


def test_install_of_the_pair_that_is_served_already(served, renewals):
    for _ in range(2):
        done = install(served, renewals[1])
        assert done.returncode == 0 and renewals[1].serial in done.stdout
    assert served.metric("scoregate_reloads_total", unit="certificate:localhost", result="success") == 1


def test_install_into_empty_places(tmp_path, renewals):
    """The first certificate of a machine; the key is for its owner only."""
    places = pem.Pair(tmp_path / "cert.pem", tmp_path / "key.pem", None)
    file = tmp_path / "scoregate.json"
    file.write_text(json.dumps(configuration(SERVICES, places, admin={"listen": None})))
    done = command("cert", "install", "--config", file, "--cert", renewals[0].certificate, "--key", renewals[0].key)
    assert done.returncode == 0, done.stderr
    assert places.serial == renewals[0].serial
    assert places.key.stat().st_mode & 0o777 == 0o600


def test_install_of_one_of_two_with_one_name(start, in_use, authority, renewals, tmp_path):
    """ECDSA and RSA side by side: the type of the key tells which is meant, at the first time, too."""
    other = pem.Pair(tmp_path / "rsa" / "cert.pem", tmp_path / "rsa" / "key.pem", authority.ca)
    first, renewed = (authority.issue("localhost", key="rsa:2048") for _ in range(2))
    copied(tmp_path / "rsa", first)
    gate = start(SERVICES, certificate=in_use, certificates=[other.settings | {"sslCname": "localhost"}])
    for pair in (renewed, first):
        before = state(in_use.key.parent)
        done = install(gate, pair, "--cname", "LocalHost")
        assert done.returncode == 0, done.stderr
        assert f"serial {pair.serial} is served for localhost" in done.stdout
        assert {each["serial"] for each in gate.status()["certificates"]} == {pair.serial, renewals[0].serial}
        assert state(in_use.key.parent) == before
        other.key.unlink()  # no pair there any more: the next one belongs there, too

    before = state(in_use.key.parent)
    assert install(gate, renewals[1]).returncode == 0
    assert gate.served_serial() == renewals[1].serial
    assert pem.Pair(in_use.certificate, None, None).serial == renewals[1].serial


def test_install_where_two_pairs_would_do(start, in_use, authority, renewals, tmp_path):
    other = copied(tmp_path / "other", authority.issue("localhost"))
    gate = start(SERVICES, certificate=in_use, certificates=[other.settings | {"sslCname": "localhost"}])
    before = state(in_use.key.parent), state(other.key.parent)
    done = install(gate, renewals[1])
    assert done.returncode == 2
    for path in (in_use.certificate, in_use.key, other.certificate, other.key):
        assert str(path) in done.stderr
    assert "nothing has changed" in done.stderr
    assert (state(in_use.key.parent), state(other.key.parent)) == before


def test_install_into_a_file_of_two_pairs(start, in_use, tmp_path, authority, renewals):
    """One key, two certificates: a new key would end the other one."""
    (tmp_path / "api").mkdir()
    request, certificate = tmp_path / "api" / "request.pem", tmp_path / "api" / "cert.pem"
    pem.openssl("req", "-x509", "-new", "-key", in_use.key, "-days", 30, "-subj", "/CN=api", "-addext", "subjectAltName=DNS:api.example",
                "-out", certificate)
    (tmp_path / "api" / "key.pem").symlink_to(in_use.key)
    gate = start(SERVICES, certificate=in_use, certificates=[pem.Secret(tmp_path / "api", None).settings | {"sslCname": "api.example"}])
    before = state(in_use.key.parent)
    done = install(gate, renewals[1])
    assert done.returncode == 2
    assert str(in_use.key) in done.stderr and "api.example (/certificates/0)" in done.stderr and "nothing has changed" in done.stderr
    assert state(in_use.key.parent) == before


@pytest.mark.parametrize("linked", [False, True], ids=["named twice", "by links"])
def test_install_into_one_file(start, tmp_path, renewals, linked):
    both = tmp_path / "both.pem"
    both.write_text(renewals[0].certificate.read_text() + renewals[0].key.read_text())
    both.chmod(0o600)
    places = pem.Pair(both, both, renewals[0].ca)
    if linked:
        places = pem.Pair(tmp_path / "cert.pem", tmp_path / "key.pem", renewals[0].ca)
        places.certificate.symlink_to(both)
        places.key.symlink_to(both)
    gate = start(SERVICES, certificate=places)
    done = install(gate, renewals[1])
    assert done.returncode == 0, done.stderr
    assert gate.served_serial() == renewals[1].serial
    assert both.read_text() == renewals[1].certificate.read_text() + renewals[1].key.read_text()
    assert both.stat().st_mode & 0o777 == 0o600


def test_install_at_once_leaves_one_whole_pair(served, in_use, renewals):
    for _ in range(5):
        running = [begin_install(served, pair) for pair in renewals]
        for each in running:
            told = each.communicate(timeout=10)
            # 1: another one was served by the time it asked.
            assert each.returncode in (0, 1) and " hold serial " in told[0], told
        assert command("check", "--config", served.file).returncode == 0
        assert set(in_use.key.parent.iterdir()) == {in_use.certificate, in_use.key}
        assert served.served_serial() == pem.Pair(in_use.certificate, None, None).serial


def test_install_waits_for_another(served, in_use, renewals):
    before = state(in_use.key.parent)
    folder = os.open(in_use.key.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    waiting = begin_install(served, renewals[1])
    with pytest.raises(subprocess.TimeoutExpired):  # it would be done long before
        waiting.wait(0.5)
    assert state(in_use.key.parent) == before
    os.close(folder)
    told = waiting.communicate(timeout=10)
    assert waiting.returncode == 0, told
    assert served.served_serial() == renewals[1].serial


# -- cert inspect

def inspect(pair, *more):
    return command("cert", "inspect", "--cert", pair.certificate, "--key", pair.key, *more)


def test_inspect_explains_a_good_pair(authority):
    pair = authority.issue("localhost", "*.apps.example", days=(-1, 80.5))
    done = inspect(pair, "--cname", "localhost")
    assert done.returncode == 0, done.stdout
    for told in ("Certificate 2 of 2", "CN=localhost", "CN=ca", "localhost, *.apps.example", pair.serial, "80 days left",
                 "ECDSA P-256"):
        assert told in done.stdout
    assert "DEFECT" not in done.stdout and "WARNING" not in done.stdout
    assert not pair.shows_key(done.stdout)


@pytest.mark.parametrize("case", SPOILT)
def test_inspect_tells_every_defect_and_its_remedy(case, files):
    spoil, name, told = SPOILT[case]
    spoil(files)
    done = as_anybody("inspect", "--cert", files.certificate, "--key", files.key)
    assert done.returncode == 2, done.stdout
    assert_line(done.stdout, f"^  DEFECT .*{name}.*{told}")
    assert "Not usable" in done.stdout


MORE_DEFECTS = {
    "expired": (lambda a: a.issue("localhost", days=(-60, -30)), "expired.*ago", "renew it"),
    "not yet valid": (lambda a: a.issue("localhost", days=(1, 90)), "not valid before", "clock, or wait"),
    "for another name": (lambda a: a.issue("other.example"), "DEFECT.*other.example", "set sslCname"),
    "common name only": (lambda a: a.issue("other.example", common_name="localhost"), "DEFECT.*other.example", "set sslCname"),
    "short RSA key": (lambda a: a.issue("localhost", key="rsa:1024"), "DEFECT.*RSA 1024", "at least 2048"),
}


@pytest.mark.parametrize("case", MORE_DEFECTS)
def test_inspect_tells_what_clients_refuse(authority, case):
    make, defect, remedy = MORE_DEFECTS[case]
    done = inspect(make(authority), "--cname", "localhost")
    assert done.returncode == 2
    assert_line(done.stdout, defect)
    assert remedy in done.stdout
    assert "Not usable" in done.stdout


def test_inspect_warns_of_what_only_some_clients_mind(authority, tmp_path):
    pair = copied(tmp_path / "tls", authority.issue("localhost"))
    leaf, end, _ = pair.certificate.read_text().partition("-----END CERTIFICATE-----\n")
    pair.certificate.write_text(leaf + end)
    pair.key.chmod(0o644)
    done = inspect(pair)
    assert done.returncode == 0
    assert_line(done.stdout, "WARNING.*issuer.*is missing.*append")
    assert_line(done.stdout, "WARNING.*key.pem has mode 0644.*chmod 600")
    assert_line(done.stdout, "not checked.*no name was given")


def test_inspect_of_a_directory_and_of_a_configuration(tmp_path, authority, renewals):
    secret = copied(tmp_path / "secret", renewals[0], ("tls.crt", "tls.key")).key.parent
    done = command("cert", "inspect", "--secret", secret)
    assert done.returncode == 0 and renewals[0].serial in done.stdout

    other = authority.issue("other.example", days=(-60, -30))
    file = tmp_path / "scoregate.json"
    more = [other.settings | {"sslCname": "other.example"}]
    file.write_text(json.dumps(configuration(SERVICES, pem.Secret(secret, None), certificates=more)))
    done = command("cert", "inspect", "--config", file)
    assert done.returncode == 2  # one of them has expired
    assert renewals[0].serial in done.stdout and other.serial in done.stdout


@pytest.mark.parametrize("words", [
    ("inspect",), ("inspect", "--key", "key.pem"), ("inspect", "--cert", "cert.pem", "--secret", "tls"),
    ("install",), ("install", "--cert", "cert.pem", "--key", "key.pem"), ("install", "--config", "scoregate.json"),
], ids=" ".join)
def test_words_that_are_missing_or_too_many_are_told(words):
    done = command("cert", *words)
    assert done.returncode == 2
    assert done.stderr


@pytest.mark.parametrize("words, told", [
    (("cert", "inspect"), ("--cert", "--key", "--secret", "--config", "--cname")),
    (("cert", "install"), ("--cert", "--key", "--cname", "--config", "--admin")),
    (("reload",), ("--admin",)),
    (("drain",), ("--admin",)),
], ids=["inspect", "install", "reload", "drain"])
def test_help(words, told):
    done = command(*words, "--help")
    assert done.returncode == 0
    for each in told:
        assert each in done.stdout


def test_reload_says_whom_it_did_not_reach(served):
    served.stop()
    done = command("reload", "--admin", served.admin_url)
    assert done.returncode == 1
    assert served.admin_url in done.stderr
    assert command("reload", "--admin", "nonsense").returncode == 1


def test_reload_shows_the_problems(served):
    served.configure(served.settings | {"colour": "blue"})
    done = command("reload", "--admin", served.admin_url)
    assert done.returncode == 1
    assert "/colour" in done.stderr
