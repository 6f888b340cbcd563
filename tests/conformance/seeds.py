#!/usr/bin/python3
"""Writes the heads of the .wire cases as seeds for the fuzz targets, one file each.

  tests/conformance/seeds.py DIRECTORY

DIRECTORY/request_head/NAME gets the client's first head, DIRECTORY/reply_head/NAME the replica's (behind the byte by which that
target chooses what it answers), DIRECTORY/chunked_body/NAME a chunked body of either (behind two that say how it is cut).
"""

import pathlib
import re
import sys

CASES = pathlib.Path(__file__).parent / "cases"
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}


def to_bytes(source):
    made = bytearray()
    while source:
        if repeated := re.match(r"\{([^}]+)\*(\d+)\}", source):
            made += to_bytes(repeated[1]) * int(repeated[2])
            source = source[repeated.end() :]
        elif source[0] != "\\":
            made += source[0].encode()
            source = source[1:]
        elif source[1] == "x":
            made.append(int(source[2:4], 16))
            source = source[4:]
        else:
            made += ESCAPES[source[1]]
            source = source[2:]
    return bytes(made)


def first_sent(text, who):
    """The bytes of the first step `who` sends."""
    step = re.search(rf"^{who} sends\n((?:\| .*\n)+)", text, re.M)
    return to_bytes("".join(line[2:] for line in step[1].splitlines())) if step else b""


def write(folder, name, seed):
    if len(seed) > 4096:  # more than the fuzzer would try
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(seed)
    return 1


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    to, written = pathlib.Path(sys.argv[1]), 0
    for case in sorted(CASES.rglob("*.wire")):
        text = case.read_text(encoding="ascii")
        name = "-".join(case.relative_to(CASES).with_suffix("").parts)
        for who, target, choice in (("client", "request_head", b""), ("replica", "reply_head", b"\0")):
            head, end, body = first_sent(text, who).partition(b"\r\n\r\n")
            if not head:
                continue
            written += write(to / target, name, choice + head + end)
            if re.search(rb"(?i)transfer-encoding: chunked\Z|transfer-encoding: chunked\r\n", head) and body:
                written += write(to / "chunked_body", f"{name}-{who}", b"\xff\x00" + body)
    print(f"{written} seeds in {to}")


main()
