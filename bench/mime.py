"""CPU per mail of the parser: `python -m bench.mime [ROUNDS]`.

The mix is 60 % plain (3.4 KB), 30 % alternative (15 KB), 10 % with a PDF of 100 KB (137 KB encoded). Attachments are
not decoded, as in the dispatcher; the last lines show what their size and content cost.
"""

import base64
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from shared.mime import parse
from shared.mime.content_key import content_key
from shared.mime.conversation import kafka_key, named_root
from shared.mime.fields import header_fields

_WORDS = ("pedido", "ontem", "impressora", "não", "imprime", "ninguém", "atende", "ligação", "favor", "ajudem")
_SHARES = (("plain 3.4 KB", 0.6), ("alternative 15 KB", 0.3), ("PDF 100 KB", 0.1))


def _header(content_type: str) -> str:
    hops = "".join(
        f"Received: from relay{hop}.example.org (relay{hop}.example.org [192.0.2.{hop}])\r\n"
        f"\tby mx{hop}.empresa.example (Postfix) with ESMTPS id 4Xy{hop}Zk2Q\r\n"
        f"\tfor <suporte@empresa.example>; Tue, 24 Nov 2026 12:30:0{hop} +0000 (UTC)\r\n"
        for hop in range(1, 4)
    )
    return (
        "Return-Path: <ana.lima@cliente.example>\r\n" + hops + "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;"
        " d=cliente.example; s=k1;\r\n\th=from:to:subject:date:message-id; bh="
        + "x" * 44
        + ";\r\n\tb="
        + "y" * 300
        + "\r\n"
        "From: =?utf-8?q?Ana_Concei=C3=A7=C3=A3o_Lima?= <ana.lima@cliente.example>\r\n"
        "To: Suporte Empresa <suporte@empresa.example>, bruno@empresa.example\r\n"
        "Cc: =?iso-8859-1?q?Jos=E9?= <jose@cliente.example>\r\n"
        "Subject: =?utf-8?q?Impressora_n=C3=A3o_imprime?= =?utf-8?q?_desde_ontem?=\r\n"
        "Date: Tue, 24 Nov 2026 09:30:00 -0300\r\nMessage-ID: <CAF1234567890abcdef@mail.cliente.example>\r\n"
        "In-Reply-To: <c1.17.3.abcdefghijklmnop@empresa.example>\r\n"
        "References: <c1.17.0.abcdefghijklmnop@empresa.example>\r\n <c1.17.3.abcdefghijklmnop@empresa.example>\r\n"
        f"MIME-Version: 1.0\r\nX-Mailer: Example 1.0\r\n{content_type}\r\n"
    )


def _text(size: int, chance: random.Random) -> str:
    lines: list[str] = []
    while size > 0:
        lines.append(" ".join(chance.choices(_WORDS, k=10)))
        size -= len(lines[-1]) + 3
    return "\r\n".join(lines) + "\r\n"


def mails() -> dict[str, bytes]:
    chance = random.Random(1)
    plain = _header("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n") + _text(
        1700, chance
    )
    html = (
        "<html><body>"
        + "".join(f"<p>{line}</p>\r\n" for line in _text(9000, chance).splitlines())
        + "</body></html>\r\n"
    )
    alternative = (
        _header('Content-Type: multipart/alternative; boundary="=_alt"\r\n')
        + "--=_alt\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + _text(3000, chance)
        + "--=_alt\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + html
        + "--=_alt--\r\n"
    )
    pdf = base64.encodebytes(chance.randbytes(100 * 1024)).decode().replace("\n", "\r\n")
    attached = (
        _header('Content-Type: multipart/mixed; boundary="=_mix"\r\n')
        + "--=_mix\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        + _text(1700, chance)
        + '--=_mix\r\nContent-Type: application/pdf; name="nota.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        'Content-Disposition: attachment; filename="nota.pdf"\r\n\r\n' + pdf + "--=_mix--\r\n"
    )
    return dict(zip((name for name, _ in _SHARES), (m.encode() for m in (plain, alternative, attached)), strict=True))


def microseconds(rounds: int, call: Callable[..., object], *arguments: object) -> float:
    """CPU µs of one call, the best of many short series: the machine is rarely quiet."""
    series = []
    for _ in range(100):
        start = time.process_time_ns()
        for _ in range(rounds):
            call(*arguments)
        series.append((time.process_time_ns() - start) / rounds / 1000)
    return min(series)


def route(raw: bytes) -> bytes:
    """What the fetcher asks of a mail."""
    return kafka_key(named_root(header_fields(raw)))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    received = datetime(2026, 11, 24, tzinfo=UTC)
    total = 0.0
    for (name, raw), (_, share) in zip(mails().items(), _SHARES, strict=True):
        mail = parse(raw)
        parsed = microseconds(rounds, parse, raw)
        headers = microseconds(rounds, header_fields, raw)
        key = microseconds(rounds, route, raw)
        content = microseconds(rounds, content_key, raw, mail, received)
        total += share * parsed
        print(
            f"{name:18} {len(raw):7} B  parse {parsed:6.1f} µs  header_fields {headers:5.1f} µs"
            f"  kafka key {key:5.1f} µs  content key {content:6.1f} µs"
        )
        for attachment in mail.attachments:
            size = microseconds(rounds, getattr, attachment, "size")
            decoded = microseconds(rounds, getattr, attachment, "content")
            print(f"{'':18} attachment size {size:.1f} µs, content {decoded:.1f} µs")
    print(f"mix                parse {total:6.1f} µs")


if __name__ == "__main__":
    main()
