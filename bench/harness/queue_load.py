"""The load of the row `queue`: equal clients, each on a TLS connection of its own, who ask for more than the replicas can do.

Run as a process of its own on the core of the load; prints one line of JSON. The clients are threads: most of their time
they wait.
"""
import argparse
import json
import random
import socket
import ssl
import threading
import time
import urllib.request

BODY = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]}).encode()


class Client:
    """Asks at random moments, `rate` times per second on average, whether the last answer was yes or no; with None again and
    again. What comes between `begin` and `end` counts."""

    def __init__(self, port, certificate, rate, seed):
        self._context = ssl.create_default_context(cafile=certificate)
        self._port, self._rate, self._random = port, rate, random.Random(seed)
        self._request = (b"POST /api/v1/service/iris/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(BODY)) + BODY
        self.latencies, self.rejected, self.wrong, self.answered = [], 0, 0, 0
        self._connect()

    def _connect(self):
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = self._context.wrap_socket(plain, server_hostname="localhost")

    def run(self, begin, end):
        due = time.monotonic()
        while True:
            if self._rate:
                due += self._random.expovariate(self._rate)
                time.sleep(max(0, due - time.monotonic()))
            asked = time.monotonic()
            if asked >= end:
                return
            status = self._ask()
            now = time.monotonic()
            self.answered += 1
            if not begin <= now < end:
                continue
            if status == 200:
                self.latencies.append(now - asked)
            elif status == 503:
                self.rejected += 1
            else:
                self.wrong += 1

    def _ask(self):
        self._sock.sendall(self._request)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._sock.recv(65536)
            if not piece:
                return None
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        missing = int(fields[b"content-length"]) - len(body)
        while missing > 0:
            missing -= len(self._sock.recv(missing))
        if fields.get(b"connection") == b"close":
            self._sock.close()
            self._connect()
        return int(lines[0].split()[1])


def counts(models):
    found = []
    for port in models:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=5) as reply:
            found.append(json.load(reply))
    return found


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--models", required=True, help="their ports, comma-separated")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0, help="of one client, per second; 0: as fast as it is answered")
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    models = given.models.split(",")
    clients = [Client(given.port, given.certificate, given.rate, given.seed * 1000 + i) for i in range(given.clients)]
    begin = time.monotonic() + given.warm_up
    end = begin + given.seconds
    # Those who started last go on for as long as the others, so the load is even from `begin` to `end`.
    threads = [threading.Thread(target=each.run, args=(begin, end)) for each in clients]
    for thread in threads:
        thread.start()
    time.sleep(max(0, begin - time.monotonic()))
    before = counts(models)
    time.sleep(max(0, end - 0.05 - time.monotonic()))  # before the first of them ends
    after = counts(models)
    for thread in threads:
        thread.join()

    latencies = sorted(each for client in clients for each in client.latencies)
    busy = [(b["busy_us"] - a["busy_us"]) / (b["now_us"] - a["now_us"]) for a, b in zip(before, after)]
    print(json.dumps({
        "served": [len(client.latencies) for client in clients],
        "rejected": sum(client.rejected for client in clients), "wrong": sum(client.wrong for client in clients),
        "answered": sum(client.answered for client in clients), "busy": busy, "most": max(each["most"] for each in after),
        "p50_us": percentile(latencies, 0.5) * 1e6, "p99_us": percentile(latencies, 0.99) * 1e6}))


if __name__ == "__main__":
    main()
