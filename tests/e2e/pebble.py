"""A real ACME provider, Pebble, on free ports of 127.0.0.1."""
import json
import os
import ssl
import urllib.request

from dnsmasq import free_port
from process import Process


class Pebble:
    """pair: what its own HTTPS shows, for localhost. http_port: where it looks for challenges. lifetime: of what it
    issues, in seconds. A challenge is looked for each time, at once."""

    def __init__(self, directory, pair, http_port, dns, lifetime=90 * 24 * 3600):
        self._pair = pair
        self._dns = dns
        self._file = directory / "pebble.json"
        self.port, self._management = free_port(), free_port()
        self.directory = f"https://localhost:{self.port}/dir"
        self._file.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(pair.certificate), "privateKey": str(pair.key), "httpPort": http_port, "tlsPort": free_port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": False, "certificateValidityPeriod": lifetime}}))
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._process = Process(["pebble", "-config", self._file, "-strict=false", "-dnsserver", self._dns.server],
                                env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"})
        self._process.stdout.wait_for(r"^\S+ \S+ \S+ Listening on: ")

    def stop(self):
        if self._process:
            self._process.stop()
            self._process = None

    def write_root(self, path):
        """The certificate that clients trust, another one after each start, as a file."""
        context = ssl.create_default_context(cafile=self._pair.ca)
        url = f"https://localhost:{self._management}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=10) as reply:
            path.write_bytes(reply.read())
        return path
