"""What the pages under docs/ tell a user to write and to run, so that tests do just that."""
import json
import os
import re
import subprocess
import textwrap

from process import ROOT
from scoregate import BINARY, PATIENCE


def section(page, heading):
    text = (ROOT / "docs" / page).read_text()
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL).group(1)


def introduction(page):
    return (ROOT / "docs" / page).read_text().split("\n## ")[0]


def blocks(text, language):
    """The fenced blocks, without the indentation of the list that they may be in."""
    fenced = re.findall(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(body) for _, of, body in fenced if of == language]


def replaced(text, *pairs):
    """The page's addresses by the test's; each must be there."""
    for old, new in pairs:
        assert old in text, f"{old} is not in:\n{text}"
        text = text.replace(old, new)
    return text


def services(text):
    """What a block says of services, for a configuration."""
    return json.loads("{" + text + "}")


class Shell:
    """An operator's, in the folder of the configuration. variables: shell text that comes before all commands."""

    def __init__(self, gate, variables):
        self._gate, self._variables = gate, variables
        self._directory = gate.file.parent
        (self._directory / "bin").mkdir()
        (self._directory / "bin/scoregate").symlink_to(BINARY)

    def run(self, commands):
        """What they print; fails when one of them fails."""
        environment = {**os.environ, "PATH": f"{self._directory}/bin:{os.environ['PATH']}", "no_proxy": "*",
                       "CURL_CA_BUNDLE": str(self._gate.ca)}
        done = subprocess.run(["sh", "-eu", "-c", self._variables + commands], cwd=self._directory, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
