"""The binary as it is built: what makes a fault in it harder to use."""
import os
import platform
import re
import subprocess

import pytest

from scoregate import BINARY


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, BINARY], check=True, capture_output=True, text=True, timeout=60).stdout


def test_it_is_loaded_where_nobody_knows():
    assert re.search(r"Type:\s+DYN", readelf("-h"))
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("-d"))


def test_tables_of_functions_cannot_be_written_once_it_runs():
    dynamic = readelf("-d")
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b|\(FLAGS_1\).*\bNOW\b", dynamic)
    assert "GNU_RELRO" in readelf("-l")
    assert "TEXTREL" not in dynamic


def test_neither_stack_nor_data_is_code():
    segments = readelf("-l")
    assert re.search(r"GNU_STACK\s.*\sRW\s", segments)
    assert not re.search(r"LOAD\s.*\sRWE\s", segments)


def test_an_overrun_of_the_stack_is_noticed():
    assert "__stack_chk_fail" in readelf("--dyn-syms")


@pytest.mark.skipif(os.environ.get("SCOREGATE_BUILD_TYPE", "Release") == "Debug", reason="needs optimisation")
def test_calls_of_the_c_library_know_the_size_of_what_they_write_to():
    checked = set(re.findall(r"\b(__\w+_chk)\b", readelf("--dyn-syms"))) - {"__stack_chk_fail"}
    assert checked, "no call with a bound"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an instruction of x86")
def test_functions_begin_where_indirect_branches_may_land():
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", BINARY], check=True,
                          capture_output=True, text=True, timeout=60).stdout
    assert re.search(r"<main>:\n\s*[0-9a-f]+:\s+endbr64", code)
