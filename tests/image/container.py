"""The image under test as a running container: a Scoregate in all that clients and operators see.

It shares the machine's network, listens on free ports and has, beside what the image says, only what a cluster would
give it: a folder with its configuration and one with its certificates, both read-only.
"""
import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from process import Process  # noqa: E402
from scoregate import Scoregate  # noqa: E402

IMAGE = os.environ.get("SCOREGATE_IMAGE", "localhost/scoregate:0.1.0")
LIMITS = os.environ.get("SCOREGATE_IMAGE_LIMITS", "--ulimit nofile=20000:20000 --ulimit nproc=4096:4096").split()
ENGINE = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
FREE_PORTS = {"SCOREGATE_SET_listen__https": "127.0.0.1:0", "SCOREGATE_SET_listen__http": "127.0.0.1:0",
              "SCOREGATE_SET_admin__listen": "127.0.0.1:0"}
NUMBERS = itertools.count(1)


def engine(*words, timeout=60):
    return subprocess.run([*ENGINE, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)


def new_name():
    return f"scoregate-test-{os.getpid()}-{next(NUMBERS)}"


def words_to_run(*words, options=(), name=None, network="host", variables=None):
    """A command that runs the image as restricted as it is meant to be."""
    settings = [each for pair in (variables or {}).items() for each in ("--env", "=".join(pair))]
    return [*ENGINE, "run", "--rm", "--name", name or new_name(), "--network", network, *LIMITS, "--no-healthcheck", "--pull", "never",
            "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges", *settings,
            *map(str, options), IMAGE, *map(str, words)]


def run(*words, **more):
    """The same to its end."""
    return subprocess.run(words_to_run(*words, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def inspected():
    return json.loads(engine("image", "inspect", IMAGE).stdout)[0]


class SecretVolume:
    """A folder as the kubelet mounts a Secret: NAME -> ..data/NAME, and ..data is a link that it swaps."""

    def __init__(self, folder):
        self.folder = folder
        self._versions = itertools.count(1)
        folder.mkdir()

    def put(self, pair):
        version = self.folder / f"..version_{next(self._versions)}"
        version.mkdir()
        for file, name in ((pair.certificate, "cert.pem"), (pair.key, "key.pem")):
            (version / name).write_text(file.read_text())
            (version / name).chmod(0o644)  # defaultMode: whoever the container runs as
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")


class Container(Scoregate):
    """network "none": a network of its own, so the ports are those that the image has."""

    def __init__(self, folder, settings, secret, ca, *, options=(), network="host", variables=None):
        self.name = new_name()
        self.file = folder / "scoregate.json"
        self.ca = ca
        self.configure(settings)
        mounts = ["--volume", f"{self.file}:/etc/scoregate/scoregate.json:ro", "--volume", f"{secret.folder}:/etc/scoregate/tls:ro"]
        ports = FREE_PORTS if network == "host" else {}
        Process.__init__(self, words_to_run(name=self.name, options=[*mounts, *options], network=network,
                                            variables=ports | (variables or {})))

    def signal(self, number):
        assert engine("kill", "--signal", int(number), self.name).returncode == 0

    @functools.cached_property
    def first(self):
        """Its first process, as the machine numbers it."""
        return int(engine("inspect", "--format", "{{.State.Pid}}", self.name).stdout)

    def execute(self, *words):
        return engine("exec", self.name, *words)

    def stop(self):
        if self.running:
            engine("stop", "--time", "10", self.name)
        status = self.wait(30)
        assert status == 0, f"ended with {status}:\n{self.stderr.text}"
