"""Every way in which a pair of files can be no good. Used by what starts with them and by what explains them."""
import os

import pem

# Root may read everything; without these capabilities it is refused like anybody else.
AS_ANYBODY = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def encrypt(key, *how):
    plain = key.read_text()
    key.unlink()
    (key.parent / "plain.pem").write_text(plain)
    pem.openssl(*how, "-in", key.parent / "plain.pem", "-out", key, "-passout", "pass:secret")
    assert "ENCRYPTED" in key.read_text()


def other_key(files):
    pem.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", files.key)


def to_der(files):
    der = files.certificate.parent / "der"
    pem.openssl("x509", "-in", files.certificate, "-outform", "DER", "-out", der)
    der.rename(files.certificate)


MISSING = "No such file or directory; correct the path"
UNREADABLE = "Permission denied; let the user that scoregate runs as read it"
SWAPPED = "are the certificate's file and the key's swapped"
PASSPHRASE = "passphrase.*remove it: openssl pkey -in"

# What is spoilt, which file the message must name, and what it says: what is wrong with it and what to do.
SPOILT = {
    "certificate missing": (lambda f: f.certificate.unlink(), "cert.pem", MISSING),
    "key missing": (lambda f: f.key.unlink(), "key.pem", MISSING),
    "certificate unreadable": (lambda f: f.certificate.chmod(0), "cert.pem", UNREADABLE),
    "key unreadable": (lambda f: f.key.chmod(0), "key.pem", UNREADABLE),
    "certificate is a folder": (lambda f: (f.certificate.unlink(), f.certificate.mkdir()), "cert.pem", "name the PEM file itself"),
    "certificate empty": (lambda f: f.certificate.write_text(""), "cert.pem", "empty; it must hold the certificate in PEM"),
    "certificate not PEM": (to_der, "cert.pem", "not PEM.*convert it: openssl x509 -inform DER"),
    "certificate is the key": (lambda f: f.certificate.write_text(f.key.read_text()), "cert.pem", "no certificate; " + SWAPPED),
    "certificate cut": (lambda f: f.certificate.write_text(f.certificate.read_text()[:200]), "cert.pem", "damaged.*copy the file again"),
    "key not PEM": (lambda f: f.key.write_text("secret"), "key.pem", "not PEM.*must hold the private key in PEM"),
    "key is the certificate": (lambda f: f.key.write_text(f.certificate.read_text()), "key.pem", "no private key; " + SWAPPED),
    "key with a passphrase, PKCS#8": (lambda f: encrypt(f.key, "pkcs8", "-topk8"), "key.pem", PASSPHRASE),
    "key with a passphrase, EC": (lambda f: encrypt(f.key, "ec", "-aes128"), "key.pem", PASSPHRASE),
    "key of another certificate": (other_key, "key.pem", "does not match.*use the key that this certificate was requested with"),
}
