"""The rows of the bench and one measured run of wrk on one of them."""
import dataclasses
import json
import os
import pathlib
import subprocess

from .processes import Failure
from .servers import KEY

LOAD = pathlib.Path(__file__).resolve().parents[1] / "load"
KIB, MIB = 1024, 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str
    scheme: str = "https"
    connections: int = 64
    body_bytes: int = 1800
    reply_bytes: int = 115
    query: str = ""
    close: bool = False  # a new connection for each request
    renewed: bool = False  # the certificate is replaced all the while; against a scoregate where it is not
    guarded: bool = False  # with key and cap; against a scoregate without

    @property
    def peers(self):
        """False: scoregate is compared with itself."""
        return not self.renewed and not self.guarded


ROWS = {row.name: row for row in (
    Row("keepalive", "TLS 1.2 keep-alive, 1.8 KB JSON POST, 115 B reply"),
    Row("http", "the same over plain HTTP", scheme="http"),
    Row("large", "1 MiB up and 1 MiB down, TLS 1.2 keep-alive", connections=16, body_bytes=MIB, reply_bytes=MIB,
        query=f"?bytes={MIB}"),
    Row("handshake", "a new TLS 1.2 connection and full handshake for each request", close=True),
    Row("keys", "as keepalive, with a key and a cap of 64", guarded=True),
    Row("renewal", "as keepalive, and the certificate is replaced every 100 ms", renewed=True),
    Row("renewal_handshake", "as handshake, and the certificate is replaced every 100 ms", close=True, renewed=True),
)}


def run_wrk(row, url, seconds, core):
    """Runs wrk for `seconds` and returns what checked_post.lua reports; the replies may be wrong, see problems()."""
    environment = dict(os.environ, OPENSSL_CONF=str(LOAD / "openssl.cnf"), BODY_BYTES=str(row.body_bytes),
                       REPLY_BYTES=str(row.reply_bytes), CLOSE="1" if row.close else "0",
                       KEY=KEY if row.guarded else "")
    done = subprocess.run(
        ["wrk", "-t1", f"-c{row.connections}", f"-d{seconds}s", "--timeout", "10s", "-s", LOAD / "checked_post.lua",
         url + row.query],
        env=environment, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    if done.returncode or not done.stdout.strip():
        raise Failure(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def problems(result):
    """What was not as it must be in a run of wrk; empty when every reply was right."""
    found = [f"{count} {kind} errors" for kind, count in result["errors"].items() if count]
    if result["wrong"]:
        found.append(f"{result['wrong']} replies with a wrong status or length")
    if result["checked"] != result["requests"] or not result["requests"]:
        found.append(f"{result['checked']} of {result['requests']} replies checked")
    return found
