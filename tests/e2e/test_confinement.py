"""What a running scoregate has given up: another user, new privileges, system calls, core dumps."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

import pytest

import pem
from process import wait_until
from scoregate import BINARY, Scoregate, configuration, service

PATH = "/api/v1/service/stream/score"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def run(open_folder):
    running = []

    def run_one(settings, certificate=None, **options):
        directory = open_folder / f"run{len(running)}"
        directory.mkdir(mode=0o755)
        gate = Scoregate(directory, settings, certificate, **options)
        running.append(gate)
        return gate

    yield run_one
    for gate in running:
        gate.stop()


def status_of(pid):
    """/proc/PID/status of every thread."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            for task in tasks.iterdir()]


def core_limits(pid):
    """Soft and hard, as /proc has them."""
    line = next(line for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core"))
    return line.split()[4:6]


def nobodys(path):
    """A folder of the user that scoregate becomes."""
    path.mkdir()
    shutil.chown(path, "nobody")
    return path


def serving(gate):
    gate.stderr.wait_for("serves with")
    return gate


def test_every_thread_is_confined(run, echoing, ecdsa):
    gate = serving(run(configuration({"stream": service(echoing.url)}, ecdsa, workers=2), ecdsa))
    threads = status_of(gate.pid)
    assert len(threads) >= 3  # control and two cores
    for each in threads:
        assert (each["NoNewPrivs"], each["Seccomp"]) == ("1", "2"), each["Name"]
    assert gate.request("POST", PATH, b"still serves").body == b"still serves"


def test_no_core_dump_unless_asked_for(run, echoing, ecdsa):
    settings = configuration({"stream": service(echoing.url)}, ecdsa)
    gate = serving(run(settings, ecdsa))
    assert core_limits(gate.pid) == ["0", "0"]
    # Only root may look into a process that is not dumpable: its files belong to root.
    assert os.stat(f"/proc/{gate.pid}/environ").st_uid == 0
    asked = serving(run(settings, ecdsa, variables={"SCOREGATE_CORE_DUMPS": "1"}))
    assert core_limits(asked.pid) == core_limits("self")


@needs_root
def test_it_goes_on_as_another_user(run, echoing, ecdsa, open_folder):
    """Port 443 is bound as root; keys that only root can read are read; then nothing of root is left."""
    for name in ("certificate", "key"):
        shutil.copy(getattr(ecdsa, name), open_folder / f"{name}.pem")
    (open_folder / "key.pem").chmod(0o600)
    logs = nobodys(open_folder / "logs")
    settings = configuration({"stream": service(echoing.url)}, ecdsa, user="nobody", workers=2)
    settings |= {"sslCertPemFile": str(open_folder / "certificate.pem"), "sslKeyPemFile": str(open_folder / "key.pem"),
                 "access_log": {"path": str(logs / "access.log")}}
    gate = serving(run(settings, ecdsa))
    nobody = pwd.getpwnam("nobody")
    for each in status_of(gate.pid):
        assert each["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert each["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert "0" not in each["Groups"].split()
        assert {each[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert (each["NoNewPrivs"], each["Seccomp"]) == ("1", "2")
    assert gate.request("POST", PATH, b"hello").body == b"hello"
    assert os.stat(f"/proc/{gate.pid}/environ").st_uid == 0  # not dumpable, after the change of user too
    gate.stderr.wait_for(rf"warning {open_folder}/key.pem cannot be read by user nobody")
    # The failed reload says so, and what was in force stays.
    reloaded = gate.reload()
    assert reloaded.status == 422 and "key.pem" in reloaded.body.decode()
    assert gate.request("POST", PATH, b"still").body == b"still"
    rotated = (logs / "access.log").rename(logs / "access.log.1")
    gate.signal(signal.SIGUSR1)
    wait_until((logs / "access.log").exists)
    gate.stop()
    files = (rotated, logs / "access.log")
    assert sum(len(each.read_text().splitlines()) for each in files) == 2
    assert {each.owner() for each in files} == {"nobody"}


@needs_root
def test_root_opens_no_access_log_by_the_user_s_links(run, echoing, open_folder):
    """Who has become the user gets nothing of root's appended to, nor made, at the next start."""
    logs = nobodys(open_folder / "logs")
    mine = open_folder / "root.conf"
    mine.write_text("root's\n")
    settings = configuration({"stream": service(echoing.url)}, None, allowInsecureConnections=True, user="nobody",
                             access_log={"path": str(logs / "access.log")})
    for target in (mine, open_folder / "root.new"):
        (logs / "access.log").unlink(missing_ok=True)
        (logs / "access.log").symlink_to(target)
        gate = run(settings)
        assert gate.wait() == 1
        gate.stderr.wait_for("cannot open the access log .*: Permission denied; it, or the folder it is made in, has to "
                             "be that of user nobody")
    assert mine.read_text() == "root's\n"
    assert not (open_folder / "root.new").exists()


@needs_root
def test_what_a_reload_will_not_be_able_to_read_is_told(open_folder, ecdsa):
    folders = {name: open_folder / name for name in ("services", "clients")}
    for each in folders.values():
        each.mkdir(mode=0o755)
    authority = pem.Authority(folders["clients"]).ca
    one = folders["services"] / "one.json"
    one.write_text(json.dumps(service("http://127.0.0.1:1")))
    settings = configuration({}, ecdsa, user="nobody", client_ca={"file": str(authority)}, services_dir=str(folders["services"]))
    (open_folder / "scoregate.json").write_text(json.dumps(settings))
    for each in (authority, one):
        each.chmod(0o644)
    told = check(open_folder / "scoregate.json").stderr
    assert str(authority) not in told and str(one) not in told
    for each in (authority, one):
        each.chmod(0o600)
    told = check(open_folder / "scoregate.json").stderr
    for each in (authority, one):
        assert f"{each} cannot be read by user nobody" in told


@needs_root
def test_one_user_follows_another(run, echoing, ecdsa, open_folder):
    """The new process starts as root and takes over from one that runs as the user."""
    meeting = nobodys(open_folder / "meeting")
    settings = configuration({"stream": service(echoing.url)}, None, allowInsecureConnections=True, user="nobody")
    takeover = ("--takeover", meeting / "socket")
    first = serving(run(settings, arguments=takeover))
    port = first.http
    settings = settings | {"listen": settings["listen"] | {"http": [f"127.0.0.1:{port}"]}}
    second = serving(run(settings, arguments=takeover))
    second.stderr.wait_for(r"took over \d listening sockets from process")
    assert first.wait() == 0
    third = serving(run(settings, arguments=takeover))
    assert second.wait() == 0
    assert {each["Uid"].split()[0] for each in status_of(third.pid)} == {str(pwd.getpwnam("nobody").pw_uid)}
    third.signal(signal.SIGTERM)
    assert third.wait() == 0
    assert not (meeting / "socket").exists()


@needs_root
def test_a_folder_that_the_user_may_not_write_in_is_no_meeting_place(run, echoing, open_folder):
    settings = configuration({"stream": service(echoing.url)}, None, allowInsecureConnections=True, user="nobody")
    gate = run(settings, arguments=("--takeover", open_folder / "socket"))
    assert gate.wait() == 1
    gate.stderr.wait_for("cannot listen at .* Permission denied; its folder has to be that of user nobody")


def check(file):
    return subprocess.run([BINARY, "check", "--config", file], capture_output=True, text=True, timeout=10)


def test_an_unknown_user_is_refused(echoing, tmp_path):
    gate = Scoregate(tmp_path, configuration({"stream": service(echoing.url)}, None, allowInsecureConnections=True, user="no-such-user"))
    assert gate.wait() == 2
    assert "/user: \"no-such-user\" is no user of this machine" in check(gate.file).stderr


@needs_root
def test_who_is_not_root_cannot_become_another(open_folder, echoing):
    gate = Scoregate(open_folder, configuration({"stream": service(echoing.url)}, None, allowInsecureConnections=True, user="root"),
                     user="nobody", group="nogroup", extra_groups=[])
    assert gate.wait() == 2
    gate.stderr.wait_for("/user: only root can become root: start scoregate as root")
