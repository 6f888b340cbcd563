"""The load generator tells the truth: what it says of servers that are as they should be, and of servers that are not.

    /usr/bin/python3 -m pytest tests/bench/test_load.py

LOAD, MODEL_STUB and SCOREGATE_BINARY name other builds than build/release/.
"""
import asyncio
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
from harness import servers  # noqa: E402
from harness.processes import free_port, poll  # noqa: E402

LOAD = servers.binary("LOAD", "load")
STUB = servers.binary("MODEL_STUB", "model_stub")
# Once they were named they must be there; without a build they are shown as skipped.
pytestmark = [
    pytest.mark.skipif("LOAD" not in os.environ and not LOAD.exists(), reason="no LOAD and no release build"),
    pytest.mark.skipif("MODEL_STUB" not in os.environ and not STUB.exists(), reason="no MODEL_STUB and no release build"),
]
needs_scoregate = pytest.mark.skipif("SCOREGATE_BINARY" not in os.environ and not servers.Scoregate.program.exists(),
                                     reason="no SCOREGATE_BINARY and no release build")
PREDICTION = b"x" * 115
NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "timeout": 0}


def run(*arguments, exits=0):
    """What `load` says, and what it complains of."""
    done = subprocess.run([LOAD, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stderr if exits else json.loads(done.stdout)


def right(result):
    """It ran, and nothing was wrong."""
    assert result["requests"] > 0 and result["wrong"] == 0 and result["errors"] == NO_ERRORS, result
    return result


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    running = servers.Stub(STUB, tmp_path_factory.mktemp("stub"))
    running.url = f"http://127.0.0.1:{running.port}"
    yield running
    running.process.stop()


@pytest.fixture(scope="module")
def scoregate(stub, tmp_path_factory):
    directory = tmp_path_factory.mktemp("scoregate")
    servers.make_certificate(directory)
    running = servers.Scoregate(directory, stub.port)
    yield running
    running.process.stop()


@pytest.fixture(params=["stub", pytest.param("scoregate", marks=needs_scoregate)])
def url(request):
    """A scoring URL: of the stub in plain HTTP, and of scoregate with TLS."""
    server = request.getfixturevalue(request.param)
    return server.url + "/score" if request.param == "stub" else server.url("https")


@contextlib.contextmanager
def serving(answer):
    """A small server on loopback. `answer(reader, writer)` is awaited for each connection. All of it is one thread:
    whoever blocks it stalls every connection."""
    loop = asyncio.new_event_loop()

    async def each(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await answer(reader, writer)
        writer.close()

    started = loop.run_until_complete(asyncio.start_server(each, "127.0.0.1", 0, backlog=1000))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield started.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def read_request(reader):
    """(head, body)"""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    return head, await reader.readexactly(int(re.search(r"content-length: (\d+)", head, re.I)[1]))


def reply(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def always(reader, writer):
    """Answers whatever comes with 115 bytes."""
    while True:
        await read_request(reader)
        writer.write(reply(PREDICTION))


def make_rsa_certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                    "-out", directory / "cert.pem", "-keyout", directory / "key.pem"], check=True, capture_output=True)


# --- every mode ---

def test_every_reply_is_checked(stub):
    common = ["--url", stub.url + "/score", "--connections", 4, "--seconds", 0.3]
    for mode in (["open", "--rate", 300], ["connect", "--mode", "full"]):
        assert right(run(*mode, *common))["seconds"] == 0.3
        for reply_bytes in (114, 116):
            result = run(*mode, *common, "--reply", reply_bytes)
            assert result["wrong"] == result["requests"] > 0


def test_a_status_other_than_200_is_wrong():
    async def refuse(reader, writer):
        while True:
            await read_request(reader)
            writer.write(reply(PREDICTION).replace(b"200 OK", b"503 Not"))

    with serving(refuse) as port:
        result = run("open", "--url", f"http://127.0.0.1:{port}/", "--rate", 200, "--connections", 2, "--seconds", 0.3)
    assert result["wrong"] == result["requests"] > 0


def test_what_it_sends():
    seen = []

    async def keep(reader, writer):
        while True:
            seen.append(await read_request(reader))
            writer.write(reply(PREDICTION))

    with serving(keep) as port:
        common = ["open", "--url", f"http://127.0.0.1:{port}/score?x=y", "--rate", 50, "--connections", 1, "--seconds", 0.3]
        right(run(*common))
        assert not any("Authorization" in head for head, _ in seen)
        right(run(*common, "--key", "sesame", "--body", 700))
    for (head, body), size in ((seen[0], 1800), (seen[-1], 700)):
        assert head.startswith("POST /score?x=y HTTP/1.1\r\n") and f"\r\nHost: 127.0.0.1:{port}\r\n" in head
        assert len(body) == size and len(json.loads(body)["data"]) > size // 30
    assert "\r\nAuthorization: Bearer sesame\r\n" in seen[-1][0]


def test_large_bodies(url):
    size = 4 * 1024 * 1024
    right(run("open", "--url", f"{url}?bytes={size}", "--rate", 4, "--connections", 2, "--seconds", 1, "--body", size,
              "--reply", size))


def test_it_says_when_it_cannot_run():
    nobody = f"http://127.0.0.1:{free_port()}/"
    rest = ["--connections", 1, "--seconds", 1]
    for mode in (["open", "--rate", 1], ["connect", "--mode", "full"]):
        assert "no connection" in run(*mode, "--url", nobody, *rest, exits=1)
    assert "no connection" in run("idle", "--url", nobody, "--connections", 9, exits=1)
    for usage, complaint in (
            ([], "subcommand"),
            (["open", "--url", nobody, *rest], "--rate"),
            (["open", "--url", "ftp://127.0.0.1/", "--rate", 1, *rest], "ftp"),
            (["connect", "--mode", "resume", "--url", nobody, *rest], "https"),
            (["connect", "--mode", "other", "--url", nobody, *rest], "other"),
            (["stream", "--url", nobody, "--streams", 0, "--events", 1, "--interval-ms", 1, "--seconds", 1], "streams"),
    ):
        assert complaint in run(*usage, exits=2)


def test_a_server_that_never_answers_is_not_waited_for():
    async def never(reader, _):
        await reader.read()

    with serving(never) as port:
        began = time.monotonic()
        result = run("open", "--url", f"http://127.0.0.1:{port}/", "--rate", 100, "--connections", 2, "--seconds", 0.5)
        assert time.monotonic() - began < 4
    assert result["requests"] == 0 and result["errors"]["timeout"] > 20  # those that found no connection included
    assert result["p50_us"] > 1_500_000


def test_broken_connections_are_counted_and_replaced():
    async def hang_up(reader, writer):
        await read_request(reader)
        writer.write(reply(PREDICTION))
        await read_request(reader)
        writer.write(reply(PREDICTION)[:50])  # then each() closes it

    with serving(hang_up) as port:
        result = run("open", "--url", f"http://127.0.0.1:{port}/", "--rate", 100, "--connections", 4, "--seconds", 1)
    assert result["requests"] > 20 and result["errors"]["read"] > 10 and result["connects"] > 10
    assert result["wrong"] == result["errors"]["timeout"] == 0


# --- open ---

def test_open_keeps_its_rate_whatever_the_server(url):
    offered = set()
    for warm_up in (0, 0.3):
        result = right(run("open", "--url", url, "--rate", 400, "--connections", 8, "--seconds", 1,
                           "--warm-up", warm_up, "--seed", 3))
        assert abs(result["requests"] - 400) < 5 * 400 ** 0.5  # Poisson: the deviation is the root
        offered.add((warm_up, result["requests"]))
    again = right(run("open", "--url", url, "--rate", 400, "--connections", 3, "--seconds", 1, "--seed", 3))
    assert (0, again["requests"]) in offered, "one seed, one schedule"


def test_open_counts_from_when_a_request_was_due():
    """While the server stalls for 300 ms, a tenth of the requests fall due; a closed loop would see one slow request."""
    stalled = threading.Event()

    async def stall_once(reader, writer):
        while True:
            await read_request(reader)
            if not stalled.is_set() and time.monotonic() > began + 0.5:
                stalled.set()
                time.sleep(0.3)
            writer.write(reply(PREDICTION))

    began = time.monotonic()
    with serving(stall_once) as port:
        result = right(run("open", "--url", f"http://127.0.0.1:{port}/", "--rate", 200, "--connections", 2,
                           "--seconds", 3, "--window-ms", 200))
    assert stalled.is_set()
    assert result["max_us"] >= 299_000
    # Three windows at most have it in them: it is not what is usual.
    assert result["windows"] == 15
    assert result["usual_p50_us"] < result["usual_p99_us"] < 100_000
    # A tenth of that tenth has more than 270 ms to wait: a hundredth of all, but for chance.
    assert result["p99_us"] > 180_000
    assert result["p50_us"] < 100_000
    assert result["late_p99_us"] < result["p99_us"], "it was the server that was late"


def test_open_does_not_hide_what_a_server_does_again_and_again():
    """A stall in each window, but of far fewer requests than a half: it is seen in the usual p99 and not in the usual p50."""
    numbers = itertools.count(1)

    async def stall_often(reader, writer):
        while True:
            await read_request(reader)
            if next(numbers) % 20 == 0:
                await asyncio.sleep(0.03)
            writer.write(reply(PREDICTION))

    with serving(stall_often) as port:
        result = right(run("open", "--url", f"http://127.0.0.1:{port}/", "--rate", 400, "--connections", 16, "--seconds", 1.5,
                           "--window-ms", 250))
    assert result["windows"] == 6
    assert result["usual_p99_us"] >= 29_000 > result["usual_p50_us"]


# --- connect ---

@needs_scoregate
@pytest.mark.parametrize("mode, kind, other", [("full", "full", "resumed"), ("resume", "resumed", "full")])
def test_connections_are_full_or_resumed_as_asked(scoregate, mode, kind, other):
    result = right(run("connect", "--mode", mode, "--url", scoregate.url("https"), "--connections", 4, "--seconds", 0.5))
    assert result[kind] == result["requests"] == result["connects"]
    assert result[other] == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{scoregate.admin_port}/metrics", timeout=5) as page:
        metrics = page.read().decode()
    seen = re.search(r'scoregate_tls_handshakes_total\{resumed="%s"\} (\d+)' % ("true" if mode == "resume" else "false"),
                     metrics)
    assert int(seen[1]) >= result[kind], "the server counts them, too"


def tls_server(directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


@pytest.mark.parametrize("remembers", [True, False])
def test_what_is_not_resumed_is_wrong(tmp_path, remembers):
    servers.make_certificate(tmp_path)
    kept = tls_server(tmp_path)

    async def answer(reader, writer):
        # Another context knows neither the tickets nor the sessions of those before it.
        await writer.start_tls(kept if remembers else tls_server(tmp_path))
        await always(reader, writer)

    with serving(answer) as port:
        result = run("connect", "--mode", "resume", "--url", f"https://127.0.0.1:{port}/", "--connections", 2,
                     "--seconds", 0.5)
    if remembers:
        assert right(result)["resumed"] == result["requests"] and result["full"] == 0
    else:
        assert result["wrong"] == result["requests"] == result["full"] > 0 and result["resumed"] == 0


def test_the_key_of_the_server_is_chosen(tmp_path):
    make_rsa_certificate(tmp_path)

    async def answer(reader, writer):
        await writer.start_tls(tls_server(tmp_path))
        await always(reader, writer)

    with serving(answer) as port:
        common = ["connect", "--mode", "full", "--url", f"https://127.0.0.1:{port}/", "--connections", 1, "--seconds", 0.3]
        right(run(*common, "--cipher", "rsa"))
        assert "handshake" in run(*common, exits=1)


# --- stream ---

def stream(url, streams=20, events=5, interval_ms=50, seconds=1, **more):
    options = [part for name, value in more.items() for part in ("--" + name, value)]
    return run("stream", "--url", url, "--streams", streams, "--events", events, "--interval-ms", interval_ms,
               "--seconds", seconds, *options)


def test_streams_are_whole(url):
    result = right(stream(url, events=2, interval_ms=500, seconds=1.5))
    assert result["streams"] == 20
    # Each stream lasts one interval and has two events: five in 1.5 s, fewer where the machine is slow.
    assert 20 * 2 <= result["events"] <= 20 * 5
    assert result["connects"] == 0, "all on one connection"
    assert 0 < result["p50_us"] < 1_000_000


def event_server(*, skip=None, join=None, chunked=True):
    """Five events, 50 ms apart; without the one numbered `skip`, or with the one numbered `join` held for the next."""
    async def answer(reader, writer):
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
                         (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Connection: close\r\n\r\n"))
            held = b""
            for i in range(5):
                event = b'data: {"i":%d,"t":%d}\n\n' % (i, time.monotonic_ns())
                if i != skip:
                    held += b"%x\r\n%s\r\n" % (len(event), event) if chunked else event
                if i != join:
                    writer.write(held)
                    held = b""
                if i < 4:
                    await asyncio.sleep(0.05)
            if not chunked:
                return
            writer.write(b"0\r\n\r\n")
    return answer


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_of_another_server_is_right(chunked):
    with serving(event_server(chunked=chunked)) as port:
        right(stream(f"http://127.0.0.1:{port}/", streams=3))


@pytest.mark.parametrize("fault", [{"skip": 0}, {"skip": 2}, {"skip": 4}, {"join": 2}])
def test_a_stream_with_an_event_lost_or_held_back_is_wrong(fault):
    with serving(event_server(**fault)) as port:
        result = stream(f"http://127.0.0.1:{port}/", streams=3)
    assert result["wrong"] >= result["requests"] > 3


def test_what_is_no_stream_is_wrong(stub):
    result = stream(stub.url + "/score?bytes=115&events=", streams=2)  # a prediction
    assert result["wrong"] == result["requests"] > 0 and result["events"] == 0


# --- idle ---

@contextlib.contextmanager
def idle(url, connections):
    """Yields next_line(word): sends the word and returns the result that follows."""
    held = subprocess.Popen([LOAD, "idle", "--url", url, "--connections", str(connections)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)

    def next_line(word=None):
        if word:
            held.stdin.write(word + "\n")
            held.stdin.flush()
        return json.loads(held.stdout.readline())
    try:
        yield next_line
        held.stdin.close()
        assert held.wait(10) == 0
        assert held.stdout.read() == ""
    finally:
        held.kill()
        held.wait()
        held.stdout.close()


def established(port):
    """How many connections a server on this port holds."""
    fields = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # A set: the kernel may list one twice while others come and go.
    return len({remote for _, local, remote, state, *_ in fields if local.endswith(f":{port:04X}") and state == "01"})


def test_idle_holds_and_goes_again(url):
    port = int(url.split(":")[2].split("/")[0])
    before = established(port)
    with idle(url, 200) as next_line:
        first = right(next_line())
        assert first["requests"] == first["connects"] == 200
        assert established(port) == before + 200
        for _ in range(2):
            again = right(next_line("again"))
            assert again["requests"] == 200 and again["connects"] == 0
    poll(lambda: established(port) <= before, "the connections to go")


def test_idle_tells_what_was_lost(tmp_path):
    stub = servers.Stub(STUB, tmp_path)
    with idle(f"http://127.0.0.1:{stub.port}/score", 20) as next_line:
        right(next_line())
        stub.process.stop()
        after = next_line("again")
        assert after["requests"] == 0 and after["errors"]["connect"] == 20 and after["errors"]["read"] == 20


# --- the stub ---

def test_the_stub_answers_at_a_unix_socket(tmp_path):
    path = tmp_path / "model.sock"
    process = subprocess.Popen([STUB, "--unix", path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("listening http 127.0.0.1:")
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            client = http.client.HTTPConnection("localhost")
            client.sock = raw
            for body, size in ((b"{}", 115), (b"x" * (8 * 1024 * 1024), 1 << 20)):
                client.request("POST", "/score" if size == 115 else f"/score?bytes={size}", body)
                answered = client.getresponse()
                assert answered.status == 200 and len(answered.read()) == size
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_each_event_of_the_stub_leaves_at_its_time_in_its_own_piece(stub):
    with socket.create_connection(("127.0.0.1", stub.port)) as client:
        client.settimeout(10)
        pieces, began = [], time.monotonic_ns()
        client.sendall(b"GET /stream?events=3&interval_ms=250 HTTP/1.1\r\nHost: x\r\n\r\n")
        while not (pieces and pieces[-1].endswith(b"0\r\n\r\n")):
            pieces.append(client.recv(65536))
        assert len(pieces) == 3, pieces
        events = [json.loads(found) for found in re.findall(rb"data: (.*)\n\n", b"".join(pieces))]
        assert [event["i"] for event in events] == [0, 1, 2]
        for event in events:
            assert event["t"] - began >= event["i"] * 250e6
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).endswith(b"Healthy"), "kept alive after a stream"
