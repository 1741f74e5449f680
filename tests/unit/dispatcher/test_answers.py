"""Whom an automatic answer may go to: From, where something says that it may, and nobody else."""

import pytest

from services.dispatcher.answers import Decided, answer, decoded
from services.dispatcher.authenticity import Verdict, verdict
from services.dispatcher.classify import classify, writer
from shared.desk.model import Desk
from shared.events import Answer, Origin
from shared.mime import parse

DESK = Desk.model_validate(
    {
        "queues": {"suporte": {}},
        "system_addresses": {"suporte@empresa.example": {"name": "Suporte", "queue": "suporte"}},
        "authserv_ids": ["mx.empresa.example"],
        "forwarders": ["parceiro.example", "so.este@provedor.example"],
    }
)


def full(headers: str, origin: Origin = Origin.LIVE) -> Decided:
    raw = headers.replace("\n", "\r\n").encode() + b"\r\n\r\nBom dia\r\n"
    mail = parse(raw)
    authentic = verdict(mail, mail.sender.address if mail.sender else "", DESK.authserv_ids)
    return answer(mail, classify(mail, raw, DESK, []), writer(mail, DESK), DESK, authentic, origin=origin)


def decided(headers: str, origin: Origin = Origin.LIVE) -> Answer:
    return full(headers, origin).answer


ANA = "ana@kunde.example"


@pytest.mark.parametrize(
    ("path", "sender"),
    [
        ("ana@kunde.example", ANA),
        ("bounces+7@kunde.example", "Ana <ana@kunde.example>"),
        ("b@mail.kunde.example", ANA),
        ("b@Kunde.Example", "ana@vendas.kunde.example"),
        ("SRS0=a4e0=WV=kunde.example=ana@reencaminha.example", ANA),
        ("srs0+a4e0=WV=Kunde.Example=ana@reencaminha.example", ANA),
        ("SRS0-a4e0=WV=mail.kunde.example=bounce@reencaminha.example", ANA),
        ("SRS1=xyz=um.example==a4e0=WV=kunde.example=ana@dois.example", ANA),
        ("SRS1=xyz=um.example=+a4e0=WV=kunde.example=ana@dois.example", ANA),
        ("ajuda+SRS=44ldt=IX=kunde.example=ana@inquilino.example", ANA),
        ("prvs=1234abcdef=ana@kunde.example", ANA),
        ("prvs=1234abcdef=SRS0=a4e0=WV=kunde.example=ana@reencaminha.example", ANA),
        ("ana+caf_=suporte=empresa.example@kunde.example", ANA),
        ("ajuda+caf_=suporte=empresa.example@empresa.example", ANA),
        ("suporte@empresa.example", ANA),
        ("www-data@web1.empresa.example", ANA),
        ("envio@parceiro.example", ANA),
        ("envio@sub.parceiro.example", ANA),
        ("so.este+caf_=suporte=empresa.example@provedor.example", ANA),
    ],
)
def test_from_is_answered_where_the_return_path_is_its_or_ours(path: str, sender: str) -> None:
    found = full(f"Return-Path: <{path}>\nFrom: {sender}\nReply-To: elsewhere@other.example")
    assert found.answer == Answer(parse(f"From: {sender}\n\n".encode()).all_from[0].address)
    assert found.why


@pytest.mark.parametrize(
    ("headers", "withheld"),
    [
        ("From: ana@kunde.example", "no_return_path"),
        ("Return-Path: <>\nFrom: ana@kunde.example", "automatic"),
        ("Return-Path: <>\nFrom: mailer-daemon@kunde.example", "bounce"),
        ("Return-Path: <ana@kunde.example>\nFrom: ana@kunde.example\nPrecedence: list", "list"),
        ("Return-Path: <ana@kunde.example>\nFrom: a@kunde.example\nAuto-Submitted: auto-replied", "out_of_office"),
        ("Return-Path: <ana@kunde.example>\nReply-To: ana@kunde.example", "sender_unknown"),
        ("Return-Path: <ana@kunde.example>", "sender_unknown"),
        ("Return-Path: <x@empresa.example>\nFrom: suporte@empresa.example", "loop"),
        ("Return-Path: <x@empresa.example>\nFrom: suporte@empresa.example\nReply-To: a@b.example", "own_address"),
        ("Return-Path: <ana@kunde.example>\nFrom: noreply@kunde.example", "automatic"),
        ("Return-Path: <a@kunde.example>\nFrom: a@kunde.example\nX-Auto-Response-Suppress: All", "response_suppressed"),
        ("Return-Path: <a@kunde.example>\nFrom: a@kunde.example\nList-Unsubscribe: <x>", "mailing_list"),
        ("Return-Path: <ana>\nFrom: ana@kunde.example", "return_path_unreadable"),
        ("Return-Path: <b@sender.example>\nFrom: victim@bank.example", "return_path_differs"),
        ("Return-Path: <b@notkunde.example>\nFrom: ana@kunde.example", "return_path_differs"),
        ("Return-Path: <b@example>\nFrom: ana@kunde.example", "return_path_differs"),
        ("Return-Path: <noreply@mailer.example>\nFrom: ana@kunde.example", "return_path_differs"),
        ("Return-Path: <0102@eu-west-1.amazonses.example>\nFrom: ana@kunde.example", "return_path_differs"),
        ("Return-Path: <outro@provedor.example>\nFrom: ana@kunde.example", "return_path_differs"),
        ("Return-Path: <x@naoparceiro.example>\nFrom: ana@kunde.example", "return_path_differs"),
        ("Return-Path: <SRS0=a=b=other.example=ana@x.example>\nFrom: ana@kunde.example", "return_path_differs"),
        (
            "Return-Path: <eu+caf_=suporte=empresa.example@gmail.example>\nFrom: ana@kunde.example",
            "return_path_differs",
        ),
    ],
)
def test_l11_nobody_is_answered_where_nothing_says_who_asked(headers: str, withheld: str) -> None:
    assert decided(headers) == Answer(withheld=withheld)


def test_old_mail_is_never_answered() -> None:
    mail = "Return-Path: <ana@kunde.example>\nFrom: ana@kunde.example"
    assert decided(mail, Origin.BACKFILL) == Answer(withheld="backfill")


def test_a_rewritten_address_is_decoded_to_an_end() -> None:
    path = "a@x.example"
    for _ in range(9):
        path = f"SRS0=aa=bb=x.example={path.rpartition('@')[0]}@x.example"
    assert decoded(path).endswith("@x.example")


# --- Authentication-Results --------------------------------------------------------------------------------------

FAILS = "mx.empresa.example; dmarc=fail header.from=kunde.example"
ELSEWHERE = "Return-Path: <0102@bulk.example>\nFrom: Ana <ana@kunde.example>"


@pytest.mark.parametrize(
    "results",
    [
        "mx.empresa.example; dmarc=pass (p=none; dis=none) header.from=kunde.example",
        "MX.Empresa.Example 1; spf=fail; dmarc=pass header.from=Kunde.example",
        "mx.empresa.example; dkim=pass (2048-bit key) header.d=kunde.example header.s=k1; dmarc=none",
        "mx.empresa.example; dkim=fail header.d=bulk.example; dkim=pass header.i=@kunde.example",
        'mx.empresa.example; dkim=pass reason="good; signature" header.d="kunde.example"',
        "mx.empresa.example (say (nested; dmarc=fail) so);\n dmarc=pass\n header.from=kunde.example",
    ],
)
def test_f3_a_host_that_the_desk_names_vouches_for_from(results: str) -> None:
    found = decided(f"Authentication-Results: {results}\n{ELSEWHERE}")
    assert found == Answer(ANA, verified=True)


@pytest.mark.parametrize(
    "results",
    [
        "Authentication-Results: other.example; dmarc=pass header.from=kunde.example",
        "Authentication-Results: mx.empresa.example; dmarc=fail header.from=kunde.example",
        "Authentication-Results: mx.empresa.example; dmarc=pass header.from=evil.example",
        "Authentication-Results: mx.empresa.example; dmarc=pass",
        "Authentication-Results: mx.empresa.example; dkim=pass header.d=evil.example",
        "Authentication-Results: mx.empresa.example; dkim=pass header.d=mail.kunde.example",
        "Authentication-Results: mx.empresa.example; dkim=pass header.d=example",
        "Authentication-Results: mx.empresa.example; spf=pass smtp.mailfrom=kunde.example",
        "Authentication-Results: mx.empresa.example; spf=pass (dmarc=pass header.from=kunde.example)",
        'Authentication-Results: mx.empresa.example; spf=pass smtp.mailfrom="x; dmarc=pass header.from=kunde.example"',
        "Authentication-Results: mx.empresa.example; none",
        f"Authentication-Results: {FAILS}\nAuthentication-Results: {FAILS.replace('fail', 'pass')}",
        "Authentication-Results:",
        "X-Authentication-Results: mx.empresa.example; dmarc=pass header.from=kunde.example",
    ],
)
def test_f3_only_the_topmost_of_a_named_host_is_believed_and_only_for_from(results: str) -> None:
    assert decided(f"{results}\n{ELSEWHERE}") == Answer(withheld="return_path_differs")


def test_f3_without_a_named_host_nothing_is_believed_and_that_is_said() -> None:
    mail = parse(
        b"Authentication-Results: a.example; dmarc=pass header.from=kunde.example\r\nFrom: a@kunde.example\r\n\r\n"
    )
    assert verdict(mail, ANA, ()) == Verdict(vouched=False, saw="no authserv_ids in the desk")
    assert verdict(parse(b"\r\n\r\n"), "", ()).saw == "nothing"


def test_an_authenticated_sender_who_asks_for_no_answer_is_authenticated() -> None:
    results = "Authentication-Results: mx.empresa.example; dmarc=pass header.from=kunde.example"
    found = decided(f"{results}\n{ELSEWHERE}\nX-Auto-Response-Suppress: All")
    assert found == Answer(withheld="response_suppressed", verified=True)


def test_what_vouches_for_a_form_of_ours_does_not_vouch_for_the_person_it_names() -> None:
    results = "Authentication-Results: mx.empresa.example; dmarc=pass header.from=empresa.example"
    found = decided(f"{results}\nReturn-Path: <w@empresa.example>\nFrom: suporte@empresa.example\nReply-To: {ANA}")
    assert found == Answer(withheld="own_address", verified=False)


def test_the_empty_return_path_is_answered_by_nobody_proof_or_not() -> None:
    results = "Authentication-Results: mx.empresa.example; dmarc=pass header.from=kunde.example"
    assert decided(f"{results}\nReturn-Path: <>\nFrom: {ANA}").withheld == "automatic"
