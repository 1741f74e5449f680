"""Fetching the Java archives, from a registry on loopback: kept, refused, unreachable."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.stack import jars
from ops.stack.failures import StackError, Unreachable
from ops.stack.jars import Jar

CONTENT = b"PK archive"
KNOWN = Jar("kafka", "org.example.deep", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/m2/org/example/deep/thing/1.0/thing-1.0.jar"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(CONTENT if known else b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/m2/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_fetched_is_checked_kept_and_not_fetched_again(registry: str, tmp_path: Path) -> None:
    heard: list[int] = []
    assert jars.missing([KNOWN], tmp_path) == [KNOWN]
    jars.fetch([KNOWN], tmp_path, registry, heard.append)
    assert (tmp_path / "thing-1.0.jar").read_bytes() == CONTENT
    assert heard == [len(CONTENT)]
    assert jars.missing([KNOWN], tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["thing-1.0.jar"]


def test_another_content_under_the_same_name_is_refused_and_not_kept(registry: str, tmp_path: Path) -> None:
    other = Jar("kafka", KNOWN.group, "thing", "1.0", "0" * 64, KNOWN.size)
    with pytest.raises(StackError, match=r"not the file named in jars\.lock"):
        jars.fetch([other], tmp_path, registry)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_archive_and_a_silent_registry_end_with_69(registry: str, tmp_path: Path) -> None:
    unknown = Jar("kafka", KNOWN.group, "other", "1.0", KNOWN.sha256, KNOWN.size)
    with pytest.raises(Unreachable, match="answered 404") as refused:
        jars.fetch([unknown], tmp_path, registry)
    assert refused.value.status == 69
    with pytest.raises(Unreachable, match="CARTEIRO_STACK_MAVEN"):
        jars.fetch([KNOWN], tmp_path, "http://127.0.0.1:1/m2")
