"""The server's certificate is verified, whichever way TLS begins: a stranger's is refused and nothing is told him."""

import ssl
from pathlib import Path

import pytest
import trustme

from tests.integration.mailer.conftest import Make
from tests.integration.mailer.scripted_smtp import scripted
from tests.integration.mailer.world import is_state, queue, until

OURS, STRANGERS = trustme.CA(), trustme.CA()


def server_side(ca: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


def settings(path: Path) -> dict[str, object]:
    OURS.cert_pem.write_to_path(str(path / "ca.pem"))
    return {"ca_file": path / "ca.pem"}


def ways(context: ssl.SSLContext, way: str) -> dict[str, object]:
    return {"tls": context} if way == "smtps" else {"starttls": context}


@pytest.mark.parametrize("way", ["smtps", "smtptls"])
async def test_the_right_certificate_carries_mail(world: Make, tmp_path: Path, way: str) -> None:
    async with scripted(**ways(server_side(OURS, "localhost"), way)) as script:
        outbound = {"type": way, "host": "localhost", "port": script.port, "default": True}
        found = await world({"padrao": outbound}, settings(tmp_path))
        async with found.running():
            await queue(found, "a@kunde.example", "b@kunde.example")
            await until(lambda: is_state(found, "a@kunde.example", "sent"))
            await until(lambda: is_state(found, "b@kunde.example", "sent"))
    assert len(script.mails) == 2


@pytest.mark.parametrize("way", ["smtps", "smtptls"])
@pytest.mark.parametrize(
    ("ca", "name"), [(STRANGERS, "localhost"), (OURS, "other.example")], ids=["a stranger's", "another host's"]
)
async def test_a_wrong_certificate_gets_no_mail(
    world: Make, tmp_path: Path, way: str, ca: trustme.CA, name: str
) -> None:
    async with scripted(**ways(server_side(ca, name), way)) as script:
        outbound = {"type": way, "host": "localhost", "port": script.port, "default": True}
        found = await world({"padrao": outbound}, settings(tmp_path))
        async with found.running():
            await queue(found, "a@kunde.example")
            await until(lambda: found.faults() >= 2)
            assert found.lane().fault == "tls"
        assert (await found.row("a@kunde.example"))["attempts"] == 0
    assert script.tried("MAIL") == 0
