"""Whom an automatic answer may go to: never somebody whom only a From line names."""

import pytest

from services.dispatcher.answers import answer
from services.dispatcher.classify import classify
from shared.events import Answer, Origin
from shared.mime import parse

OWN = frozenset(("suporte@empresa.example",))


def decided(headers: str, origin: Origin = Origin.LIVE) -> Answer:
    mail = parse(headers.replace("\n", "\r\n").encode() + b"\r\n\r\nBom dia\r\n")
    return answer(mail, classify(mail, OWN), origin, OWN)


@pytest.mark.parametrize(
    ("path", "sender", "target"),
    [
        ("ana@kunde.example", "ana@kunde.example", "ana@kunde.example"),
        ("bounces+7@kunde.example", "Ana <ana@kunde.example>", "ana@kunde.example"),
        ("b@mail.kunde.example", "ana@kunde.example", "ana@kunde.example"),
        ("b@Kunde.Example", "ana@vendas.kunde.example", "ana@vendas.kunde.example"),
        ("b@sender.example", "victim@bank.example", "b@sender.example"),
        ("b@notkunde.example", "ana@kunde.example", "b@notkunde.example"),
        ("b@example", "ana@kunde.example", "b@example"),
    ],
)
def test_from_is_answered_only_where_the_return_path_is_of_its_domain(path: str, sender: str, target: str) -> None:
    assert decided(f"Return-Path: <{path}>\nFrom: {sender}\nReply-To: elsewhere@other.example") == Answer(target)


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
        ("Return-Path: <suporte@empresa.example>\nFrom: ana@kunde.example", "own_address"),
        ("Return-Path: <x@empresa.example>\nFrom: suporte@empresa.example", "loop"),
        ("Return-Path: <noreply@mailer.example>\nFrom: ana@kunde.example", "no_reply"),
        ("Return-Path: <ana@kunde.example>\nFrom: noreply@kunde.example", "automatic"),
    ],
)
def test_nobody_is_answered_where_nothing_says_who_asked(headers: str, withheld: str) -> None:
    assert decided(headers) == Answer(withheld=withheld)


def test_old_mail_is_never_answered() -> None:
    mail = "Return-Path: <ana@kunde.example>\nFrom: ana@kunde.example"
    assert decided(mail, Origin.BACKFILL) == Answer(withheld="backfill")
