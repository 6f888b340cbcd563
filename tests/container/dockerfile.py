"""docker/Dockerfile, as far as tests ask: its instructions, stage by stage."""
import json
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker/Dockerfile"


def instructions(text):
    """Pairs of a word and what follows it."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, rest.strip()


def last_stage():
    all_of_it = list(instructions(DOCKERFILE.read_text()))
    begin = max(number for number, (word, _) in enumerate(all_of_it) if word == "FROM")
    return all_of_it[begin:]


def only(word):
    """What follows the one instruction of the last stage that begins with the word."""
    found = [rest for each, rest in last_stage() if each == word]
    assert len(found) == 1, (word, found)
    return found[0]


def exec_form(text):
    """The words of a command that needs no shell."""
    words = json.loads(text)
    assert isinstance(words, list) and all(isinstance(each, str) for each in words)
    return words


def pairs(text):
    return dict(each.split("=", 1) for each in shlex.split(text))


def environment():
    """What the image sets."""
    return pairs(only("ENV"))
