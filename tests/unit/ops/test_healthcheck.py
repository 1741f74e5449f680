"""`carteiro healthcheck` against the server it asks."""

import asyncio

import pytest

from ops.healthcheck import healthcheck
from shared.health import Health


async def broken() -> None:
    raise RuntimeError("the broker is away")


async def fine() -> None:
    return


@pytest.mark.enable_socket
@pytest.mark.parametrize(("check", "status", "said"), [(fine, 0, ""), (broken, 1, "kafka: the broker is away\n")])
async def test_it_says_what_the_service_says(
    check: object, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    health = Health(ready={"kafka": check})  # type: ignore[dict-item]  # a parameter of the table above
    server = await health.listen("127.0.0.1:0")
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("CARTEIRO_HTTP", f"0.0.0.0:{port}")
    try:
        assert await asyncio.to_thread(healthcheck) == status
    finally:
        server.close()
    assert capsys.readouterr().err == said
