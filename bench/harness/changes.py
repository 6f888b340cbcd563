"""What is done to a proxy again and again while it works: files replaced, its admin port asked."""
import contextlib
import itertools
import json
import os
import threading
import time
import urllib.request

from .servers import make_certificate


@contextlib.contextmanager
def replacing(directory, versions, every_seconds=0.1):
    """Puts each of `versions` ({file name: content}) in place in turn, by renames, as long as the block runs."""
    directory.mkdir(exist_ok=True)
    ended = threading.Event()

    def swap():
        for version in itertools.cycle(versions):
            if ended.wait(every_seconds):
                return
            for name, content in version.items():
                (directory / f"{name}.new").write_bytes(content)
                os.rename(directory / f"{name}.new", directory / name)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def asking(port, paths, every_seconds=1):
    """Asks for each of `paths` in turn as long as the block runs; gives the seconds that each answer took, and complaints."""
    took, wrong, ended = [], [], threading.Event()

    def ask():
        while not ended.wait(every_seconds):
            for path in paths:
                began = time.monotonic()
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as page:
                        page.read()
                except OSError as error:
                    wrong.append(f"{path}: {error}")
                took.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took, wrong
    finally:
        ended.set()
        thread.join()


def certificates(proxy):
    """Two pairs for its certificate; the unit that reports their reload."""
    versions = []
    for number in range(2):
        place = proxy.directory / f"pair{number}"
        place.mkdir(exist_ok=True)
        make_certificate(place)
        versions.append({name: (place / name).read_bytes() for name in ("key.pem", "cert.pem")})
    return versions, "certificate:localhost"


def configurations(proxy):
    """Its configuration with one limit and with another; the unit that reports their reload."""
    settings = json.loads((proxy.directory / "scoregate.json").read_text())
    return [{"scoregate.json": json.dumps(settings | {"limits": {"max_headers": headers}}).encode()} for headers in (99, 100)], \
        "configuration"
