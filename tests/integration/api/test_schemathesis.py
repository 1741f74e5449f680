"""What the OpenAPI document promises, tried by schemathesis: no server error, no answer that the document lacks.

`CARTEIRO_SCHEMATHESIS_EXAMPLES` is how many requests it makes up for each operation, beside every edge of every field;
without it some requests alone.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from shared.postgres import Pool
from tests.integration.api.serving import running
from tests.integration.api.test_reading import PARTS, RAW
from tests.integration.ticketing.situations import batch, handler
from tests.unit.ticketing.mails import dispatched

EXAMPLES = os.environ.get("CARTEIRO_SCHEMATHESIS_EXAMPLES", "")  # noqa: TID251  # a longer run


@pytest.mark.timeout(3600 if EXAMPLES else 180)
async def test_schemathesis_finds_nothing(pool: Pool, database: str, tmp_path: Path) -> None:
    """While Kafka is away: what needs it answers 503, which the document names."""
    async with running(pool, tmp_path, dsn=database, requests_per_minute=1_000_000) as api:
        [reference] = await api.originals.put_many([RAW])
        mails = [
            dispatched("m1", original=reference, attachments=PARTS),
            dispatched("m2", "bruno@kunde.example", original=reference),
        ]
        await handler(api.pool, api.folder)(batch(mails))
        token = await api.token("agent", "operator", agent="ana")
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{api.url}/schema/openapi.json",
            "--header", f"Authorization: Bearer {token}",
            "--exclude-path", "/v1/events",  # never ends
            "--exclude-path", "/v1/explain",  # its body is a mail: test_installation.py
            "--checks", "all", "--exclude-checks", "positive_data_acceptance,unsupported_method",
            "--phases", "coverage,fuzzing" if EXAMPLES else "fuzzing", "--max-examples", EXAMPLES or "2",
            "--generation-deterministic",
            "--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off", "--request-timeout", "30",
        ]  # fmt: skip
        run = await asyncio.create_subprocess_exec(
            *command, stdout=-1, stderr=-1, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        )  # fmt: skip
        said, complaint = await run.communicate()
        assert run.returncode == 0, said.decode()[-20000:] + complaint.decode()[-2000:]
        assert re.search(r"[1-9]\d* (generated|passed)|No issues found", said.decode()), said.decode()[-3000:]
