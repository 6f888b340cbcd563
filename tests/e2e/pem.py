"""Certificates and keys of every kind a user may have, made with the openssl command line."""
import dataclasses
import datetime
import functools
import pathlib
import ssl
import subprocess


@dataclasses.dataclass(frozen=True)
class Pair:
    certificate: pathlib.Path
    key: pathlib.Path
    ca: pathlib.Path  # what a client trusts

    @property
    def settings(self):
        return {"sslCertPemFile": str(self.certificate), "sslKeyPemFile": str(self.key)}

    @functools.cached_property
    def serial(self):
        """As ssl's getpeercert() has it: hexadecimal digits, an even number of them."""
        return openssl("x509", "-noout", "-serial", "-in", self.certificate).strip().removeprefix("serial=")

    @property
    def not_after(self):
        """Seconds since the Unix epoch."""
        said = openssl("x509", "-noout", "-enddate", "-in", self.certificate).strip().removeprefix("notAfter=")
        return ssl.cert_time_to_seconds(said)

    def shows_key(self, text):
        """True if a line of the private key is in it."""
        return any(line in text for line in self.key.read_text().splitlines()[1:-1])


@dataclasses.dataclass(frozen=True)
class Secret:
    """A directory that holds a pair."""
    directory: pathlib.Path
    ca: pathlib.Path

    @property
    def settings(self):
        return {"sslSecret": str(self.directory)}


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


class Authority:
    """A CA for certificates of any name and any dates."""

    def __init__(self, directory):
        self.ca = directory / "ca.pem"
        self._directory = directory
        self._issued = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 3650, "-subj", "/CN=ca",
                "-keyout", directory / "ca.key", "-out", self.ca)
        (directory / "index").touch()
        (directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=all\n[all]\ndatabase=index\nunique_subject=no\nrand_serial=yes\nnew_certs_dir=.\n"
            "default_md=sha256\ncertificate=ca.pem\nprivate_key=ca.key\npolicy=names\n[names]\ncommonName=optional\n")

    def issue(self, *names, key="ec", common_name=None, days=(-1, 90)):
        """A chain and its key. days: from when to when it is valid, counted from now. common_name: else the first name."""
        self._issued += 1
        made = self._directory / str(self._issued)
        made.mkdir()
        curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else []
        openssl("req", "-new", "-newkey", key, *curve, "-nodes", "-subj", f"/CN={common_name or names[0]}",
                "-keyout", made / "key.pem", "-out", made / "request.pem")
        (made / "extensions").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        now = datetime.datetime.now(datetime.timezone.utc)
        begin, end = ((now + datetime.timedelta(days=each)).strftime("%Y%m%d%H%M%SZ") for each in days)
        openssl("ca", "-batch", "-config", "ca.cnf", "-in", made / "request.pem", "-extfile", made / "extensions",
                "-startdate", begin, "-enddate", end, "-notext", "-out", made / "leaf.pem", cwd=self._directory)
        (made / "cert.pem").write_text((made / "leaf.pem").read_text() + self.ca.read_text())
        return Pair(made / "cert.pem", made / "key.pem", self.ca)


def expired(directory):
    """A pair for localhost that ended a month ago."""
    return Authority(directory).issue("localhost", days=(-60, -30))


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
