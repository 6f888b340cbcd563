"""Files that are replaced again and again while a proxy works."""
import contextlib
import itertools
import json
import os
import threading

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
