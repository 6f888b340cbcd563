"""Puts a new session-ticket key into the Secret that the scoregates share, and takes the oldest out.

Runs in a pod, as the account that may read and change this one Secret. Two keys stay: the newest, which seals once it has
reached every scoregate, and the one before, which still opens what it sealed. So a key is gone after two turns.
"""
import base64
import datetime
import json
import os
import pathlib
import secrets
import ssl
import sys
import urllib.error
import urllib.request

ACCOUNT = pathlib.Path(os.environ.get("SERVICE_ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount"))
SECRET = "scoregate-ticket-keys"
KEY_BYTES = 80  # as ticket_keys_dir wants it
KEPT = 2


def rotated(data, now):
    """What the Secret holds after a turn. Names sort by age: a key made by hand has a name before every date, "0.key" say."""
    keys = sorted(name for name in data if name.endswith(".key"))
    fresh = now.strftime("%Y%m%dT%H%M%SZ.key")
    if keys and keys[-1] >= fresh:
        raise ValueError(f"{SECRET} has {keys[-1]}, which would count as newer than {fresh}: rename or remove it")
    kept = {name: data[name] for name in keys[1 - KEPT:]}
    return {**kept, fresh: base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}


def ask(method, secret=None):
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{host}:{port}/api/v1/namespaces/{os.environ['NAMESPACE']}/secrets/{SECRET}", method=method,
        data=json.dumps(secret).encode() if secret else None,
        headers={"Authorization": "Bearer " + (ACCOUNT / "token").read_text().strip(), "Content-Type": "application/json"})
    trust = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    with urllib.request.urlopen(request, context=trust, timeout=30) as reply:
        return json.load(reply)


def main():
    try:
        # Whole, with its resourceVersion: the server refuses it (409) if somebody else has changed it meanwhile.
        secret = ask("GET")
        secret["data"] = rotated(secret.get("data") or {}, datetime.datetime.now(datetime.timezone.utc))
        ask("PUT", secret)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code} {error.reason} from the API server for Secret {SECRET}; 404: make it, 403: its Role, 409: the next try")
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    print("ticket keys now:", " ".join(sorted(secret["data"])))


if __name__ == "__main__":
    main()
