"""One child process: started on a core of its own, measured from /proc, ended by its pid."""
import dataclasses
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
now = time.monotonic


class Failure(Exception):
    """The bench cannot go on; the message says why."""


def allow_files():
    """Lets this process and those it starts have as many descriptors as the system permits, and returns how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def core_busy_seconds(core):
    """Time this core has not idled since boot, whoever used it."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            # proc(5): user nice system idle iowait irq softirq steal
            return (sum(map(int, ticks[:8])) - int(ticks[3]) - int(ticks[4])) / TICKS_PER_SECOND
    raise Failure(f"no core {core}")


def poll(condition, what, seconds=10):
    """Waits until condition() is true and returns what it returned."""
    deadline = now() + seconds
    while not (result := condition()):
        if now() > deadline:
            raise Failure(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)
    return result


@dataclasses.dataclass(frozen=True)
class Thread:
    """CPU in seconds: `user` and `system` in steps of 10 ms, `ran` is both together, to the nanosecond."""
    main: bool
    nice: int
    user: float
    system: float
    ran: float


class Process:
    """Started at once; `core` None leaves the scheduler its choice. Errors go to a file that a failure quotes."""

    def __init__(self, name, command, directory, core=None, stdout=None):
        self.name = name
        self._errors = pathlib.Path(directory) / f"{name}.stderr"
        pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
        with open(self._errors, "wb") as errors:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or errors, stderr=errors,
                                           preexec_fn=pin)

    def wait_listening(self, *ports, seconds=10):
        for port in ports:
            poll(lambda: self._accepts(port), f"{self.name} to listen on port {port}", seconds)

    def _accepts(self, port):
        if self._child.poll() is not None:
            raise Failure(f"{self.name} ended with {self._child.returncode}: {self.errors()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def errors(self):
        return self._errors.read_text(errors="replace")[-2000:].strip()

    def errors_tell(self, what):
        """How often its errors say so."""
        return self._errors.read_text(errors="replace").count(what)

    def pids(self):
        """This process and its descendants (nginx's worker)."""
        found = [self._child.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self):
        """(user, system) since the start, all threads of all processes; steps of 10 ms."""
        user = system = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
        return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND

    def threads(self):
        """{thread id: Thread} of those that there are now; one that ends takes its time with it."""
        found = {}
        for pid in self.pids():
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                found[int(task.name)] = Thread(
                    main=int(task.name) == pid, nice=int(fields[16]), user=int(fields[11]) / TICKS_PER_SECOND,
                    system=int(fields[12]) / TICKS_PER_SECOND, ran=int((task / "schedstat").read_text().split()[0]) / 1e9)
        return found

    def pause(self):
        """Nothing of it runs until resume()."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self):
        self._child.send_signal(signal.SIGCONT)

    def pss_bytes(self):
        """Proportional set size: memory shared with others counts in part."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        if self._child.poll() is None:
            self._child.terminate()
            self.resume()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        return self._child.returncode
