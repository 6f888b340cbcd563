"""scoregate explain: what a fault means, in the terminal as on the page."""
import re

import pytest

from process import ROOT
from scoregate import command as scoregate
from scoregate import service

PAGE = (ROOT / "docs/troubleshooting.md").read_text()


def tokens_of_the_page():
    """(token, side), in its order."""
    found, side = [], None
    for line in PAGE.splitlines():
        if line.startswith("## "):
            side = line.removeprefix("## Side: ")
        elif line.startswith("### "):
            found.append((line.removeprefix("### "), side))
    return found


def words(text):
    """Without what tells a page from a terminal: marks, links, where lines are broken."""
    text = re.sub(r"\]\([^)]*\)", "", text)
    text = re.sub(r":\s+docs/[\w./#-]+", "", text)
    return re.sub(r"[*\[\]]", "", text).split()


def test_without_a_token_it_lists_all_with_their_sides():
    done = scoregate("explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert [tuple(line.split()[:2]) for line in done.stdout.splitlines()] == tokens_of_the_page()


@pytest.mark.parametrize("token, side", tokens_of_the_page())
def test_it_prints_what_the_page_says(token, side):
    done = scoregate("explain", token)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, told = done.stdout.partition("\n\n")
    assert head == f"{token} (side: {side})"
    section = re.search(rf"^### {token}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL).group(1)
    assert words(told) == words(section)
    # What is to be copied is whole.
    for code in re.findall(r"`[^`]+`", section):
        assert code in told


@pytest.mark.parametrize("word", ["no_such_token", "Queue_Full", "client", "drain"])
def test_what_is_no_token_is_answered_with_all_that_there_are(word):
    done = scoregate("explain", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1:] == scoregate("explain").stdout.splitlines()


def test_two_tokens_are_bad_usage():
    done = scoregate("explain", "queue_full", "queue_timeout")
    assert done.returncode == 2 and done.stderr


def test_the_token_of_a_reply_can_be_explained(start):
    """What an operator does with a report of a failed call."""
    gate = start({"iris": service("http://127.0.0.1:1")})
    refused = gate.request("GET", "/api/v1/service/roses/score")
    told = scoregate("explain", refused.fault)
    assert told.returncode == 0
    assert told.stdout.startswith(f"{refused.fault} (side: {refused.json['error']['side']})")


def test_help_names_it():
    assert re.search(r"^ +explain +\S", scoregate("--help").stdout, re.MULTILINE)
    assert "TOKEN" in scoregate("explain", "--help").stdout
