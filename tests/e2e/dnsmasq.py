"""A real DNS server, dnsmasq, on a free port of 127.0.0.1, whose answers a test changes while it runs."""
import getpass
import signal
import socket

from process import Process


def free_port():
    """One that was free a moment ago, for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(udp.getsockname())
                return udp.getsockname()[1]
            except OSError:  # somebody has it for TCP
                pass


class Dns:
    """names: host name to its addresses; whatever is not there does not exist. services: SRV records, as dnsmasq has them.
    wildcards: domain to the address that every name in it has."""

    def __init__(self, directory, names, services=(), wildcards={}):
        self._hosts = directory / "dns-hosts"
        self._services = services
        self._wildcards = wildcards
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        self._process = None
        self.write(names)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def write(self, names):
        """What is answered from now on."""
        self._hosts.write_text("".join(f"{address} {name}\n" for name, all in names.items() for address in all))
        if self._process:
            self._process.signal(signal.SIGHUP)

    def start(self):
        self._process = Process(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
                                 f"--user={getpass.getuser()}", "--log-facility=-", "--log-queries", f"--port={self.port}",
                                 "--listen-address=127.0.0.1", "--bind-interfaces", "--local-ttl=1", "--local=/#/",
                                 f"--addn-hosts={self._hosts}", *(f"--srv-host={each}" for each in self._services),
                                 *(word for domain, address in self._wildcards.items()  # local: of the other family there is nothing
                                   for word in (f"--local=/{domain}/", f"--address=/{domain}/{address}"))])
        self._process.stderr.wait_for(f"read {self._hosts}")

    @property
    def log(self):
        return self._process.stderr.text

    def stop(self):
        if self._process:
            self._process.stop()
            self._process = None
