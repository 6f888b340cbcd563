"""Every row of the bench by name, in the order in which they are measured; and how a script of the bench starts and ends."""
import os
import signal
import sys

from . import arriving, closed, idle, queueing, streams
from .processes import Failure, allow_files

ROWS = {row.name: row for row in (*closed.ROWS, *idle.ROWS, *arriving.ROWS, *streams.ROWS, *queueing.ROWS)}


def two_cores():
    """(that of the proxy, that of load and model)"""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("two cores are needed: one for the proxy, one for load and model")
    return cores[-1], cores[-2]


def unknown(names, known):
    """The complaint about the first name that is not known; empty if there is none."""
    return next((f"unknown: {name} (there are {', '.join(known)})" for name in names if name not in known), "")


def run(name, main):
    """Ends the process with what main() returned, with 2 if it could not go on. Whatever ends it, what it started is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    allow_files()
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
