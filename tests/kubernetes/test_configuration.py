"""Every configuration that a rendered ConfigMap holds, where it is mounted, is one that `scoregate check` takes."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from rendered import OVERLAYS, ROOT, render, schema_problems, scoregate_of, variables_of, without_order

BINARY = pathlib.Path(os.environ.get("SCOREGATE_BINARY") or ROOT / "build/release/scoregate").resolve()
FOLDER = pathlib.PurePosixPath("/etc/scoregate")
INSECURE = ["overlays/insecure", "overlays/cluster-ip"]


def scoregate(*arguments, variables=None):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCOREGATE_")}
    return subprocess.run([BINARY, *map(str, arguments)], env={**kept, **(variables or {})}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def project(folder, files):
    """As a kubelet does: files behind ..data, and links to them."""
    held = folder / "..2026_01_01_00_00_00.1"
    held.mkdir(parents=True)
    (folder / "..data").symlink_to(held.name)
    for name, content in files.items():
        (held / name).write_bytes(content)
        (held / name).chmod(0o440)
        (folder / name).symlink_to(f"..data/{name}")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """What docs/kubernetes.md has an operator make, by name."""
    made = tmp_path_factory.mktemp("certificates")
    assert scoregate("cert", "dev", "--out", made, "--cname", "www.contoso.com").returncode == 0
    certificate, key, ca = ((made / name).read_bytes() for name in ("cert.pem", "key.pem", "ca.pem"))
    keys = {name: scoregate("key", "generate").stdout.encode() for name in ("iris-primary", "iris-secondary", "wine-primary")}
    return {
        "contoso-tls": {"cert.pem": certificate, "key.pem": key},  # Azure's
        "scoregate-tls": {"tls.crt": certificate, "tls.key": key, "ca.crt": ca},  # cert-manager's
        "scoregate-keys": keys,
        "scoregate-ticket-keys": {"0.key": os.urandom(80)},
    }


@pytest.fixture
def check(tmp_path, secrets):
    def check_one(objects, left_out=()):
        container, pod = scoregate_of(objects)
        volumes = {each["name"]: each for each in pod["volumes"]}
        root = tmp_path / "pod"
        for mount in container["volumeMounts"]:
            at = root / pathlib.PurePosixPath(mount["mountPath"]).relative_to(FOLDER)
            volume = volumes[mount["name"]]
            if "configMap" in volume:
                data = objects["ConfigMap", volume["configMap"]["name"]]["data"]
                project(at, {name: text.encode() for name, text in data.items()})
            elif volume["secret"]["secretName"] not in left_out:
                project(at, secrets[volume["secret"]["secretName"]])
            else:
                at.mkdir()
        return scoregate("check", "--config", root / "scoregate.json", variables=variables_of(objects))

    return check_one


@pytest.mark.parametrize("folder", OVERLAYS)
def test_it_is_one_that_a_start_takes(folder, check):
    done = check(render(folder))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", INSECURE)
def test_without_tls_no_certificate_is_needed(folder, check):
    done = check(render(folder), left_out=["scoregate-tls"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder, secret", [("overlays/https", "contoso-tls"), ("overlays/ha", "scoregate-ticket-keys"),
                                            ("base", "scoregate-keys")])
def test_what_is_needed_is_missed(folder, secret, check):
    assert check(render(folder), left_out=[secret]).returncode == 2


@pytest.fixture
def own(tmp_path):
    """The overlay that docs/kubernetes.md shows, beside a copy of docker/kubernetes. Each block begins with its file's name."""
    told = (ROOT / "docs/kubernetes.md").read_text().split("<!-- tests/kubernetes: own -->", 1)[1].split("\n## ", 1)[0]
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "docker/kubernetes", clone / "docker/kubernetes")
    for name, content in re.findall(r"^```\w+\n(?:#|//) (own/\S+)\n(.*?)^```$", told, re.MULTILINE | re.DOTALL):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(content)
    return clone / "own"


def test_an_overlay_of_ones_own(own, check):
    objects = render(own)
    assert without_order(objects) == without_order(render(own, "current"))
    assert {each["metadata"]["namespace"] for each in objects.values()} == {"azureml"}
    assert objects["Deployment", "scoregate"]["spec"]["replicas"] == 3
    assert set(objects["ConfigMap", "scoregate-services"]["data"]) == {"wine.json"}
    assert variables_of(objects)["SCOREGATE_SET_ticket_keys_dir"] == "tickets"
    assert schema_problems(list(objects.values())) == [None] * len(objects)
    done = check(objects)
    assert done.returncode == 0, done.stderr
