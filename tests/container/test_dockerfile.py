"""docker/Dockerfile against the program, the build and the rest of the tree."""
import fnmatch
import json
import re
import subprocess

import pytest

import dockerfile
from dockerfile import ROOT


def test_the_image_is_the_program_alone_and_needs_no_root():
    stage = dockerfile.last_stage()
    assert stage[0] == ("FROM", "scratch")
    assert "RUN" not in [word for word, _ in stage]
    assert dockerfile.only("USER") == "65532:65532"  # a number: Kubernetes' runAsNonRoot understands no other
    assert not {"ADD", "VOLUME", "SHELL"} & {word for word, _ in stage}


def test_every_command_runs_without_a_shell(program):
    entry = dockerfile.exec_form(dockerfile.only("ENTRYPOINT"))
    default = dockerfile.exec_form(dockerfile.only("CMD"))
    options, health = dockerfile.only("HEALTHCHECK").split("CMD", 1)
    assert "--timeout=" in options
    for command in (entry + default, dockerfile.exec_form(health)):
        assert command[0] == "/usr/bin/scoregate"
        assert command[2:] == ["--config", "/etc/scoregate/scoregate.json"]
        assert program(command[1], "--help").returncode == 0


def test_a_container_differs_by_what_the_program_understands(program, tmp_path):
    """With the image's environment the smallest file is enough; what the file says goes before."""
    variables = dockerfile.environment()
    assert variables and all(name.startswith("SCOREGATE_UNLESS_SET_") for name in variables)
    assert variables["SCOREGATE_UNLESS_SET_sslSecret"] == "/etc/scoregate/tls"
    assert program("cert", "dev", "--out", tmp_path / "tls", "--cname", "localhost").returncode == 0
    here = variables | {"SCOREGATE_UNLESS_SET_sslSecret": str(tmp_path / "tls")}
    services = {"iris": {"auth_mode": "none", "deployments": {"blue": {"replicas": ["http://127.0.0.1:5001"]}}}}
    smallest = tmp_path / "scoregate.json"
    smallest.write_text(json.dumps({"sslCname": "localhost", "services": services}))
    done = program("check", "--config", smallest, **here)
    assert done.returncode == 0, done.stderr
    smallest.write_text(json.dumps({"sslCname": "localhost", "services": services, "listen": {"https": ["0.0.0.0:9001"]}}))
    collides = program("check", "--config", smallest, **here)
    assert collides.returncode == 2 and "0.0.0.0:9001 collides" in collides.stderr
    smallest.write_text(json.dumps({"allowInsecureConnections": True, "services": services}))
    insecure = program("check", "--config", smallest, **here)
    assert insecure.returncode == 0 and "is not used" not in insecure.stderr, insecure.stderr


def test_ports_are_those_that_the_program_listens_on():
    schema = json.loads((ROOT / "config/scoregate.schema.json").read_text())["properties"]
    listen = schema["listen"]["properties"]
    addresses = [*listen["https"]["default"], *listen["http"]["default"],
                 dockerfile.environment()["SCOREGATE_UNLESS_SET_admin__listen"]]
    assert dockerfile.only("EXPOSE").split() == [each.rpartition(":")[2] for each in addresses]


def test_labels_say_what_it_is():
    labels = dockerfile.pairs(dockerfile.only("LABEL"))
    for name in ("title", "description", "version", "revision", "created", "licenses"):
        assert labels[f"org.opencontainers.image.{name}"], name
    version = re.search(r"^project\(scoregate VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE).group(1)
    assert ("ARG", f"VERSION={version}") in dockerfile.last_stage()
    compose = (ROOT / "docker/compose.yaml").read_text()
    assert set(re.findall(r"localhost/scoregate(?:-model)?:([\w.]+)", compose)) == {version}


def test_no_page_waits_for_a_figure():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert not [str(page.relative_to(ROOT)) for page in pages if "TO_" + "MEASURE" in page.read_text()]


def needed_files():
    """What a build reads: all that git has below what CMake and the Dockerfile name."""
    listed = subprocess.run(["git", "ls-files", "server", "bench", "CMakeLists.txt", "CMakePresets.json", "LICENSE", "docker/rootfs",
                             "docs/troubleshooting.md", "scripts/bootstrap"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    if listed.returncode != 0:
        pytest.skip("no git to tell which files there are")
    return listed.stdout.split()


def test_the_context_holds_what_the_build_needs():
    """As builders read .dockerignore: the last line that matches a path, or a folder that it is in, decides."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def taken(path):
        keep = True
        for line in lines:
            pattern = line.lstrip("!")
            parts = path.split("/")
            if any(fnmatch.fnmatchcase("/".join(parts[:depth]), pattern) for depth in range(1, len(parts) + 1)):
                keep = line.startswith("!")
        return keep

    assert len(needed_files()) > 200
    left_out = [path for path in needed_files() if not taken(path)]
    assert all(path.startswith("bench/results/") for path in left_out), left_out
    for path in ("build/release/scoregate", ".git/config", "certs-dev/key.pem", "tests/CMakeLists.txt"):
        assert not taken(path), path
