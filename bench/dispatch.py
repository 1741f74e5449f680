"""CPU a mail of what the dispatcher decides: parse, classify, evidence, plans, encoding; no Kafka, no disk.

    .venv/bin/python -m bench.dispatch [MAILS]

The mix is that of every measurement (`bench/mails.py`). Prints microseconds of CPU a mail, and of the parse alone.
"""

import hashlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.mails import mix
from services.dispatcher.decide import Setting, dispatch
from shared.desk.load import load_desk
from shared.events import Origin, ReceivedMail
from shared.mime import parse

DESK = Path(__file__).resolve().parents[1] / "examples" / "desk.yaml"
ARRIVED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def received(raw: bytes, uid: int) -> ReceivedMail:
    digest = hashlib.sha256(raw).hexdigest()
    return ReceivedMail("caixa", "INBOX", 1, str(uid), len(raw), digest, ARRIVED, Origin.LIVE, raw)


def raws(count: int) -> list[bytes]:
    return [
        b"Return-Path: <c@kunde.example>\r\n" + sent.raw
        for sent in mix(count, "suporte@empresa.example", "kunde.example", 0)
    ]


def main(count: int) -> None:
    loaded = load_desk(DESK)
    setting = Setting(loaded.desk, loaded.sha256, [b"k" * 32])
    mails = [received(raw, n) for n, raw in enumerate(raws(count))]
    for mail in mails[:20]:
        dispatch(mail, "", setting)
    began = time.process_time()
    for mail in mails:
        parse(mail.raw)
    parsed = time.process_time()
    size = sum(len(dispatch(mail, f"{mail.sha256[0]}/{mail.sha256}.zst", setting)) for mail in mails)
    ended = time.process_time()
    print(f"parse     {(parsed - began) / count * 1e6:6.0f} us/mail")
    print(f"dispatch  {(ended - parsed) / count * 1e6:6.0f} us/mail (parse included), {size // count} bytes an event")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
