"""docs/api.md: a curl for each operation, and each of them works as it stands there."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.api.serving import Api
from tests.integration.api.test_reading import PARTS, RAW
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "curl " in block]
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if "curl " in line]
NAMES = {
    "NUMBER": "number",
    "OTHER": "number",
    "ARTICLE": "article_id",
    "LETTER": "letter_id",
    "SECOND": "letter_id",
    "DELIVERY": "delivery_id",
}


def operation(command: str) -> tuple[str, str]:
    """Method and path, as the OpenAPI document names them."""
    named = re.search(r"-X ([A-Z]+)", command)
    method = named.group(1) if named else "POST" if re.search("--json|--data-binary", command) else "GET"
    [path] = re.findall(r'"\$API(/[^"?]*)', command)
    for variable, parameter in NAMES.items():
        path = path.replace(f"${variable}", f"{{{parameter}}}")
    return method, re.sub(r"/attachments/\d+", "/attachments/{position}", path)


def test_every_operation_has_its_curl_and_no_other() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    known = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert {operation(command) for command in COMMANDS} == known


_LETTER = """
INSERT INTO ticketing.dead_letters (origin_topic, origin_partition, origin_offset, origin_id, service, reason,
                                    exception, key, value, headers, received_at)
VALUES ('mail.received.v1', 0, $1, '', 'dispatcher', 'poison', 'ValueError', 'k', 'mail', '[]', now())
RETURNING id::text
"""
_FAILED = """
INSERT INTO mailer.outbound (id, event_id, rule, recipient, ticket_id, ticket_number, kind, template, state, account,
                             received_at, failed_at)
VALUES (5, 'e', 'r', 'ana@kunde.example', 1, '1', 'auto_response', 't', 'failed', 'padrao', now(), now())
"""


async def test_each_curl_of_the_page_works(whole: Api, tmp_path: Path) -> None:
    """In the order of the page, as one script that ends with the first that fails."""
    if shutil.which("curl") is None:
        pytest.skip("not run: the commands of docs/api.md (curl is not installed)")
    [reference] = await whole.originals.put_many([RAW])
    mails = [dispatched("m1", original=reference, attachments=PARTS), dispatched("m2", "bruno@kunde.example")]
    await handler(whole.pool, whole.folder)(batch(mails))
    rows = await whole.pool.fetch(
        "SELECT t.number, a.id FROM ticketing.tickets t JOIN ticketing.articles a ON t.id = ticket_id ORDER BY t.id"
    )
    await whole.pool.execute(_FAILED)
    environment = {
        "API": whole.url,
        "AUTH": f"Authorization: Bearer {await whole.token('agent', 'operator', agent='ana')}",
        "NUMBER": rows[0]["number"],
        "OTHER": rows[1]["number"],
        "ARTICLE": str(rows[0]["id"]),
        "DELIVERY": "5",
        "LETTER": await whole.pool.fetchval(_LETTER, 1),
        "SECOND": await whole.pool.fetchval(_LETTER, 2),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    script = "set -ex\n" + "\n".join(COMMANDS)
    run = await asyncio.create_subprocess_exec(
        "bash", "-c", script, env=environment, cwd=tmp_path, stdout=-1, stderr=-1
    )  # fmt: skip
    said, complaint = await run.communicate()
    assert run.returncode == 0, f"{complaint.decode()[-2000:]}\n{said.decode()[-2000:]}"
