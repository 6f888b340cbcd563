"""The files and variables of a scoregate's pod, as a kubelet lays them out, below a folder of a test's."""
import os
import pathlib
import subprocess

from rendered import ROOT, scoregate_of

BINARY = pathlib.Path(os.environ.get("SCOREGATE_BINARY") or ROOT / "build/release/scoregate").resolve()
FOLDER = pathlib.PurePosixPath("/etc/scoregate")  # what of the pod's file system is laid out


def environment(variables=None):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCOREGATE_")}
    return {**kept, **(variables or {})}


def scoregate(*arguments, variables=None):
    return subprocess.run([BINARY, *map(str, arguments)], env=environment(variables), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def project(folder, files, version=1):
    """Files behind ..data, and links to them. A later version takes the place of the one before in one step."""
    held = folder / f"..version{version}"
    held.mkdir(parents=True)
    for name, content in files.items():
        (held / name).write_bytes(content)
        (held / name).chmod(0o440)
    (folder / "..data_tmp").symlink_to(held.name)
    os.replace(folder / "..data_tmp", folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def files_of(objects, name):
    """The content of a ConfigMap."""
    return {key: text.encode() for key, text in objects["ConfigMap", name]["data"].items()}


def lay_out(root, objects, secrets, left_out=()):
    """left_out: Secrets that are not there."""
    container, pod = scoregate_of(objects)
    volumes = {each["name"]: each for each in pod["volumes"]}
    for mount in container["volumeMounts"]:
        at = root / pathlib.PurePosixPath(mount["mountPath"]).relative_to(FOLDER)
        volume = volumes[mount["name"]]
        if "configMap" in volume:
            project(at, files_of(objects, volume["configMap"]["name"]))
        elif volume["secret"]["secretName"] not in left_out:
            project(at, secrets[volume["secret"]["secretName"]])
        else:
            at.mkdir(parents=True, exist_ok=True)
