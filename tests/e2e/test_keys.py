"""The service of docs/services.md, and the change of its keys by the commands of that page."""
import pytest

import pages
from replica import Replica
from scoregate import exchange

PATH = "/api/v1/service/iris/score"


@pytest.fixture
def gate(start, tmp_path):
    """The first example of the page, in front of two replicas."""
    (tmp_path / "keys").mkdir()
    for name in ("primary", "secondary"):
        (tmp_path / "keys" / name).write_text(name * 5 + "\n")
    with Replica(lambda request: request.reply(request.body())) as one, Replica(lambda request: request.reply(request.body())) as other:
        [example] = pages.blocks(pages.introduction("services.md"), "json")
        yield start(pages.services(pages.replaced(example, ("http://10.0.0.4:5001", one.url), ("http://10.0.0.5:5001", other.url))))


def score(gate, key, sock=None):
    return exchange(sock or gate.tls_socket(), "POST", PATH, b"{}", {"Authorization": "Bearer " + key}, keep=sock is not None)


def test_the_example_of_the_page_answers_by_all_its_addresses(gate):
    authorized = {"Authorization": "bearer " + "primary" * 5}
    for path, host in ((PATH, "localhost"), ("/api/v1/endpoint/iris/score", "localhost"), ("/score", "iris.contoso.com")):
        assert gate.request("POST", path, b"{}", {**authorized, "Host": host}).status == 200
    assert gate.request("POST", PATH, b"{}").fault == "auth_missing"


def test_the_keys_are_changed_by_the_commands_of_the_page(gate, tmp_path):
    shell = pages.Shell(gate, f"admin={gate.admin_url}\n")
    new_secondary, watch, new_primary = pages.blocks(pages.section("services.md", "Keys"), "sh")
    key = lambda name: (tmp_path / "keys" / name).read_text().strip()
    old = {name: key(name) for name in ("primary", "secondary")}

    with gate.tls_socket() as holder_of_primary:
        assert score(gate, old["primary"], holder_of_primary).status == 200
        shell.run(new_secondary)
        assert score(gate, old["primary"], holder_of_primary).status == 200
        assert score(gate, key("secondary")).status == 200
        assert score(gate, old["secondary"]).fault == "auth_wrong"
        assert shell.run(watch).split()[-1] == "2"

        shell.run(new_primary)
        assert score(gate, old["primary"], holder_of_primary).fault == "auth_wrong"
    assert score(gate, key("secondary")).status == 200
    assert score(gate, key("primary")).status == 200
