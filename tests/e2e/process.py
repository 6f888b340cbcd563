"""A child process whose output is read line by line as it comes, so that tests wait for lines instead of sleeping."""
import errno
import os
import pathlib
import re
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Lines:
    """What a pipe has said so far. One thread reads it; any thread may ask."""

    def __init__(self, pipe):
        self._lines = []
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe):
        with pipe:
            for line in pipe:
                with self._more:
                    self._lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(self, pattern, timeout=10):
        """The match of the first line that has `pattern`, earlier lines included; fails when there will be none."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._more:
            while True:
                for line in self._lines[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = len(self._lines)
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self._lines))
                self._more.wait(remaining)

    def wait_count(self, count, timeout=10):
        """The first `count` lines."""
        with self._more:
            enough = self._more.wait_for(lambda: len(self._lines) >= count or self._ended, timeout)
            assert enough and len(self._lines) >= count, f"{len(self._lines)} lines, not {count}: {self._lines}"
            return self._lines[:count]

    def wait_end(self, timeout=10):
        """All lines, once the writer has ended."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the pipe is still open"
        return list(self._lines)

    @property
    def text(self):
        with self._more:
            return "\n".join(self._lines)


class Process:
    def __init__(self, command, **options):
        self._process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                         **options)
        self.pid = self._process.pid
        self.stdout = Lines(self._process.stdout)
        self.stderr = Lines(self._process.stderr)

    @property
    def running(self):
        return self._process.poll() is None

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self, timeout=10):
        """The exit status."""
        return self._process.wait(timeout)

    def stop(self, timeout=10):
        """Asks it to end and returns the exit status; kills it only if it does not."""
        self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self.stdout.wait_end()
            self.stderr.wait_end()


class Memory:
    """How much the resident memory of a process has grown at its highest, in bytes, since this was made."""

    def __init__(self, pid):
        self._process = pathlib.Path(f"/proc/{pid}")
        (self._process / "clear_refs").write_text("5")  # the peak starts anew
        self._before = self._read("VmRSS")

    def _read(self, name):
        status = (self._process / "status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE).group(1)) * 1024

    @property
    def growth(self):
        return self._read("VmHWM") - self._before


def wait_until(condition, timeout=10):
    """Polls what nothing announces; returns the first truthy answer."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return answer


def open_once_it_is_read(fifo, timeout=10):
    """The writing end of a named pipe, as soon as somebody reads it. An open that waits would wait for ever if nobody does."""
    def try_to_open():
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise

    return wait_until(try_to_open, timeout)
