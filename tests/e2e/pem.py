"""Certificates and keys of every kind a user may have, made with the openssl command line."""
import dataclasses
import pathlib
import subprocess


@dataclasses.dataclass(frozen=True)
class Pair:
    certificate: pathlib.Path
    key: pathlib.Path
    ca: pathlib.Path  # what a client trusts


def openssl(*arguments, cwd=None):
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def self_signed(directory, key="rsa:2048", subject="/CN=localhost", san="DNS:localhost"):
    """A certificate that is its own CA. key: as for openssl's -newkey. san None: no subjectAltName."""
    names = ["-addext", f"subjectAltName={san}"] if san else []
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else []
    openssl("req", "-x509", "-newkey", key, *curve, "-nodes", "-days", 30, "-subj", subject, *names,
            "-keyout", directory / "key.pem", "-out", directory / "cert.pem")
    return Pair(directory / "cert.pem", directory / "key.pem", directory / "cert.pem")


def expired(directory):
    """A certificate for localhost that ended in 2020."""
    key, request = directory / "key.pem", directory / "request.pem"
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    (directory / "index").touch()
    (directory / "ca.cnf").write_text(
        "[ca]\ndefault_ca=all\n[all]\ndatabase=index\nrand_serial=yes\nnew_certs_dir=.\ndefault_md=sha256\npolicy=names\n"
        "[names]\ncommonName=optional\n[leaf]\nsubjectAltName=DNS:localhost\n")
    openssl("ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", key, "-in", request, "-extensions", "leaf",
            "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-notext", "-out", "cert.pem", cwd=directory)
    return Pair(directory / "cert.pem", key, directory / "cert.pem")


@dataclasses.dataclass(frozen=True)
class Chain:
    leaf: str
    intermediate: str
    key: pathlib.Path
    ca: pathlib.Path


def chain(directory):
    """A leaf for localhost, signed by an intermediate, signed by a root."""
    for name in ("root", "intermediate", "leaf"):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr")
    extensions = directory / "extensions"
    extensions.write_text(
        "[authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
        "[leaf]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\nsubjectKeyIdentifier=hash\n"
        "authorityKeyIdentifier=keyid\n")
    for name, signer, section in (("root", None, "authority"), ("intermediate", "root", "authority"), ("leaf", "intermediate", "leaf")):
        signing = ["-signkey", directory / "root.key"] if signer is None else [
            "-CA", directory / f"{signer}.pem", "-CAkey", directory / f"{signer}.key", "-CAcreateserial"]
        openssl("x509", "-req", "-in", directory / f"{name}.csr", "-days", 30, "-extfile", extensions, "-extensions", section,
                *signing, "-out", directory / f"{name}.pem")
    return Chain((directory / "leaf.pem").read_text(), (directory / "intermediate.pem").read_text(),
                 directory / "leaf.key", directory / "root.pem")
