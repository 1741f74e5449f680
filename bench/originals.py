"""CPU a mail of keeping the originals: `python -m bench.originals [BATCH] [ROUNDS]`, in a folder of its own."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.mails import mix
from shared.originals import open_originals


async def measure(batch: int, rounds: int) -> None:
    mails = [sent.raw for sent in mix(batch, "suporte@empresa.example", "kunde.example", 0)]
    with tempfile.TemporaryDirectory() as folder:
        store = open_originals(Path(folder).as_uri())
        await store.put_many(mails)
        began, wall = time.process_time(), time.monotonic()
        for _ in range(rounds):
            await store.put_many(mails)
        used, took = time.process_time() - began, time.monotonic() - wall
    size = sum(map(len, mails)) / batch / 1000
    each = used / batch / rounds * 1e6
    print(f"{batch} mails of {size:.1f} KB in a pack: {each:.1f} us CPU a mail, {took / rounds * 1000:.1f} ms a batch")


if __name__ == "__main__":
    asyncio.run(measure(*(int(word) for word in sys.argv[1:] or ("200", "20"))))
