"""What kubectl makes of docker/kubernetes, and questions to it."""
import functools
import json
import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker/kubernetes"
MODULES = pathlib.Path(os.environ.get("KUBERNETES_MODULES") or ROOT / "build/kubernetes")
KUBECTL = {
    "1.20": pathlib.Path("/opt/scoregate/kubernetes-client/usr/bin/kubectl"),  # Debian 12's
    "current": MODULES / "layer/kubectl/kubectl",
}
FOLDERS = sorted(str(each.parent.relative_to(FOLDER)) for each in FOLDER.rglob("kustomization.yaml"))
OVERLAYS = ["base", *(each for each in FOLDERS if each.startswith("overlays/"))]  # those with a scoregate


@functools.cache
def text_of(kubectl, folder):
    done = subprocess.run([KUBECTL[kubectl], "kustomize", folder], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(folder, kubectl="1.20"):
    """The objects of a folder below docker/kubernetes (or of any other, if absolute), by kind and name."""
    objects = [each for each in yaml.safe_load_all(text_of(kubectl, str(FOLDER / folder))) if each]
    named = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(named) == len(objects)
    return named


def pods_of(objects):
    """(object, pod template's spec, its labels) of everything that makes pods."""
    for each in objects.values():
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
        elif each["kind"] == "CronJob":
            template = each["spec"]["jobTemplate"]["spec"]["template"]
        else:
            continue
        yield each, template["spec"], template["metadata"]["labels"]


def scoregate_of(objects):
    """The container of scoregate, and its pod's spec."""
    pod = objects["Deployment", "scoregate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return container, pod


def variables_of(objects):
    return {each["name"]: each["value"] for each in scoregate_of(objects)[0]["env"]}


def schema_problems(objects):
    done = subprocess.run(["node", pathlib.Path(__file__).with_name("schemas.cjs")], input=json.dumps(objects),
                          env={**os.environ, "KUBERNETES_MODULES": str(MODULES)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_order(value):
    """Lists of named things (volumes, ports, variables) in one order: kustomize's generations merge them differently."""
    if isinstance(value, dict):  # and 2.0 writes empty annotations and labels
        return {key: without_order(each) for key, each in value.items() if each != {} or key not in ("annotations", "labels")}
    if isinstance(value, list):
        made = [without_order(each) for each in value]
        return sorted(made, key=lambda each: each["name"]) if made and all(isinstance(each, dict) and "name" in each for each in made) else made
    return value
