"""docker/rootfs: the program runs with what the image has, and with that alone."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import dockerfile
from dockerfile import ROOT

# Of each package that the image has something of: the licence of that, as SPDX names it.
OF_GCC = "GPL-3.0-or-later WITH GCC-exception-3.1"
LICENCES = {"scoregate": "Apache-2.0", "libc6": "LGPL-2.1-or-later", "libssl3": "Apache-2.0", "libstdc++6": OF_GCC, "libgcc-s1": OF_GCC,
            "libspdlog1.10": "MIT", "libfmt9": "MIT", "libcjose0": "MIT", "libjansson4": "MIT", "libc-ares2": "MIT", "libyaml-0-2": "MIT",
            "libseccomp2": "LGPL-2.1-only", "libboost1.81-dev": "BSL-1.0", "nlohmann-json3-dev": "MIT", "libcli11-dev": "BSD-3-Clause",
            "ca-certificates": "MPL-2.0"}


def make(binary, folder):
    subprocess.run([ROOT / "docker/rootfs", binary, folder], check=True, timeout=60, capture_output=True, text=True,
                   env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image") / "root"
    make(pathlib.Path(os.environ["SCOREGATE_BINARY"]).resolve(), folder)
    return folder


def within(root, *words):
    """Runs a command with that folder as its root."""
    enter = ["/usr/sbin/chroot"] if os.geteuid() == 0 else ["/usr/bin/unshare", "--user", "--map-root-user", "/usr/sbin/chroot"]
    return subprocess.run([*enter, root, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, env={})


def test_the_program_runs_in_it(root):
    done = within(root, "/usr/bin/scoregate", "version")
    assert done.returncode == 0 and done.stdout.startswith("scoregate "), done.stderr
    made = within(root, "/usr/bin/scoregate", "cert", "dev", "--out", "/made", "--cname", "localhost")
    assert made.returncode == 0, made.stderr  # OpenSSL has all that it loads
    shutil.rmtree(root / "made")


def test_nothing_else_can_be_run(root):
    runs = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and os.access(path, os.X_OK)}
    assert {path for path in runs if not re.search(r"/ld-linux-[\w-]+\.so\.\d+$", path) and ".so" not in path} == {"usr/bin/scoregate"}
    for mode in (path.lstat().st_mode for path in root.rglob("*") if not path.is_symlink()):
        assert not mode & 0o6022, oct(mode)  # none for others to write, none with the rights of its owner


def test_it_has_the_licence_of_all_that_is_in_it(root):
    licences = root / "usr/share/doc"
    assert {path.name for path in licences.iterdir()} == set(LICENCES)
    for folder in licences.iterdir():
        assert all(path.stat().st_size for path in folder.iterdir()) and list(folder.iterdir()), folder
    libraries = [path for path in root.rglob("*.so*") if path.is_file()]
    owners = subprocess.run(["dpkg-query", "--search", *(f"*/{path.relative_to(root)}" for path in libraries)], capture_output=True, text=True,
                            timeout=60).stdout
    assert len(libraries) > 10
    assert set(re.findall(r"^([\w.+-]+)", owners, re.MULTILINE)) <= {path.name for path in licences.iterdir()}
    versions = root / "var/lib/dpkg/status.d"
    assert {path.name for path in versions.iterdir()} <= {path.name for path in licences.iterdir()}
    assert re.search(r"^Version: \S+$", (versions / "libssl3").read_text(), re.MULTILINE)


def test_the_label_names_the_licences_of_what_is_in_it():
    labels = dockerfile.pairs(dockerfile.only("LABEL"))
    assert labels["org.opencontainers.image.licenses"] == " AND ".join(sorted(set(LICENCES.values())))


def test_the_usual_authorities_are_where_openssl_looks(root):
    told = subprocess.run(["openssl", "version", "-d"], capture_output=True, text=True, timeout=10).stdout
    place = pathlib.PurePath(re.search(r'"(.+)"', told).group(1)) / "cert.pem"
    target = os.readlink(root / place.relative_to("/"))
    assert "BEGIN CERTIFICATE" in (root / pathlib.PurePath(target).relative_to("/")).read_text()


def test_the_same_program_makes_the_same_bytes(binary, tmp_path):
    def packed(folder):
        make(binary, folder)
        return subprocess.run(["tar", "--sort=name", "-C", folder, "-c", "."], check=True, capture_output=True, timeout=60).stdout

    assert packed(tmp_path / "one") == packed(tmp_path / "other")
