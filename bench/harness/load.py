"""What asks: wrk, and the generator `load` for what wrk cannot do. Each result is a dict; problems() says what is wrong."""
import json
import os
import pathlib
import select
import subprocess

from .processes import Failure
from .servers import KEY, binary

LOAD = pathlib.Path(__file__).resolve().parents[1] / "load"


def pinned(core, leftovers=False):
    """`leftovers`: it runs only while nobody else on its core wants to (SCHED_IDLE), and stops at once when somebody does.
    Niceness does not do that: who wakes up then waits for up to a slice of the nicest."""
    def prepare():
        os.sched_setaffinity(0, {core} if isinstance(core, int) else core)
        if leftovers:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return prepare


def begin_wrk(row, url, seconds, core, **more):
    """Starts wrk, which ends after `seconds`, or sooner on SIGINT. `more`: further variables of checked_post.lua."""
    environment = dict(os.environ, OPENSSL_CONF=str(LOAD / "openssl.cnf"), BODY_BYTES=str(row.body_bytes),
                       REPLY_BYTES=str(row.reply_bytes), KEY=KEY if row.key else "", **more)
    return subprocess.Popen(
        ["wrk", "-t1", f"-c{row.connections}", f"-d{seconds}s", "--timeout", "10s", "-s", LOAD / "checked_post.lua",
         url + row.query],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=pinned(core))


def wrk_result(wrk):
    """Waits for its end and returns what checked_post.lua reports."""
    output, errors = wrk.communicate()
    if wrk.returncode or not output.strip():
        raise Failure(f"wrk ended with {wrk.returncode}: {output}{errors}")
    return json.loads(output.splitlines()[-1])


def run_wrk(row, url, seconds, core):
    """Keep-alive connections, each asks again as soon as it is answered."""
    return wrk_result(begin_wrk(row, url, seconds, core))


class Generator:
    """`load WHAT --url URL --OPTION VALUE ...`, started at once on `core` (or a set of them)."""

    def __init__(self, what, url, core, /, leftovers=False, **options):
        program = binary("LOAD", "load")
        if not program.exists():
            raise Failure(f"no load generator: build the target load, or name it in LOAD ({program.name})")
        words = [f"{word}" for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        self._child = subprocess.Popen([program, what, "--url", url, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, preexec_fn=pinned(core, leftovers))

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        """It ends at its time or, if idle, at the end of its input; one that does not, or is in the way, is ended."""
        self._child.stdin.close()
        try:
            self._child.wait(0 if failed else 10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()
        self._child.stderr.close()

    def result(self, seconds=120):
        """The next result, waited for `seconds` at most."""
        ready, _, _ = select.select([self._child.stdout], [], [], seconds)
        line = self._child.stdout.readline() if ready else ""
        if not line:
            self._child.kill()
            raise Failure(f"the load ended with {self._child.wait()}: {self._child.stderr.read()[-2000:]}")
        return json.loads(line)

    def again(self):
        """Mode idle: one more request on each connection."""
        self._child.stdin.write("again\n")
        self._child.stdin.flush()
        return self.result()


def generate(what, url, core, /, **options):
    """One run of the generator from beginning to end."""
    with Generator(what, url, core, **options) as running:
        return running.result()


def problems(result):
    """What was not as it must be; empty when every reply was right."""
    found = [f"{count} {kind} errors" for kind, count in result["errors"].items() if count]
    if result["wrong"]:
        found.append(f"{result['wrong']} replies with a wrong status or length")
    if result.get("mode") in ("open", "stream") and result["connects"]:
        found.append(f"{result['connects']} connections were not kept")
    if not result["requests"]:
        found.append("no replies")
    elif result.get("checked", result["requests"]) != result["requests"]:
        found.append(f"{result['checked']} of {result['requests']} replies checked")
    return found
