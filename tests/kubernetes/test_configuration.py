"""Every configuration that a rendered ConfigMap holds, where it is mounted, is one that `scoregate check` takes."""
import re
import shutil

import pytest

from pod import lay_out, scoregate
from rendered import OVERLAYS, ROOT, render, schema_problems, scoregate_of, variables_of, without_order

INSECURE = ["overlays/insecure", "overlays/cluster-ip"]


@pytest.fixture
def check(tmp_path, secrets):
    def check_one(objects, left_out=()):
        root = tmp_path / "pod"
        lay_out(root, objects, secrets, left_out)
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
def shown(tmp_path):
    """shown(NAME): what becomes of an overlay that docs/kubernetes.md shows, beside a copy of docker/kubernetes. Each block
    begins with its file's name."""
    def write(overlay):
        told = (ROOT / "docs/kubernetes.md").read_text().split(f"<!-- tests/kubernetes: {overlay} -->", 1)[1].split("\n## ", 1)[0]
        clone = tmp_path / "clone"
        shutil.copytree(ROOT / "docker/kubernetes", clone / "docker/kubernetes")
        for name, content in re.findall(rf"^```\w+\n(?:#|//) ({overlay}/\S+)\n(.*?)^```$", told, re.MULTILINE | re.DOTALL):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text(content)
        objects = render(clone / overlay)
        assert without_order(objects) == without_order(render(clone / overlay, "current"))
        assert {each["metadata"]["namespace"] for each in objects.values()} == {"azureml"}
        assert schema_problems(list(objects.values())) == [None] * len(objects)
        return objects

    return write


def test_an_overlay_of_ones_own(shown, check):
    objects = shown("own")
    assert objects["Deployment", "scoregate"]["spec"]["replicas"] == 3
    assert set(objects["ConfigMap", "scoregate-services"]["data"]) == {"wine.json"}
    assert variables_of(objects)["SCOREGATE_SET_ticket_keys_dir"] == "tickets"
    assert scoregate_of(objects)[0]["image"] == "registry.contoso.com/scoregate:0.1.0"
    done = check(objects)
    assert done.returncode == 0, done.stderr


def test_openshift_chooses_the_ids_itself(shown, check):
    objects = shown("openshift")
    _, pod = scoregate_of(objects)
    assert pod["securityContext"] == {"runAsNonRoot": True, "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}}
    labels = objects["Deployment", "scoregate"]["spec"]["template"]["metadata"]["labels"]
    assert objects["NetworkPolicy", "scoregate-dns"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    done = check(objects)
    assert done.returncode == 0, done.stderr
