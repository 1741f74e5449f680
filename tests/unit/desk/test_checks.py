from pathlib import Path

import pytest

from shared.desk import advice
from shared.desk.load import load_desk

ACCOUNT = "type: imaps, user: u, password: {secret: p}, queue: Raw"
ADDRESS = "system_addresses: {a@b.example: {name: A, queue: Raw}}\n"
DEFAULT = "outbound: {o: {type: smtps, host: h, default: true}}\n"


def warned(folder: Path, text: str, replicas: int | None = None) -> list[str]:
    (folder / "r.txt").write_text("text")
    path = folder / "desk.yaml"
    path.write_text(text)
    loaded = load_desk(path)
    findings = loaded.findings(advice.warnings(loaded.desk, replicas))
    return [f"{finding.line} {finding.field}: {finding.found}" for finding in findings]


WATCHED = "accounts: {c: {type: imaps, host: h, user: u, password: {secret: p}, queue: Raw}}"
WARNINGS = [
    (
        f"accounts: {{c: {{host: h, {ACCOUNT}, after: delete}}}}",
        ["1 accounts.c.after: delete while the mail topics keep an unknown number of copies"],
    ),
    (f"accounts: {{c: {{host: h, {ACCOUNT}, after: keep}}}}", []),
    (
        f"accounts: {{c: {{host: h, {ACCOUNT}, tls_verify: false}}}}",
        ["1 accounts.c.tls_verify: the server's certificate is not verified"],
    ),
    (
        "accounts:\n  c:\n    type: imap\n    host: h\n    user: u\n    password: {secret: p}\n    queue: Raw",
        ["3 accounts.c.type: imap sends the password in clear"],
    ),
    ("accounts: {c: {type: imap, host: localhost, user: u, password: {secret: p}, queue: Raw}}", []),
    (
        "outbound: {o: {type: smtp, host: h, user: u, password: {secret: p}, default: true}}",
        ["1 outbound.o.type: smtp sends the password in clear"],
    ),
    ("outbound: {o: {type: smtp, host: h, default: true}}", []),
    ("outbound: {o: {type: smtps, host: h}}", ["1 outbound: no account is the default"]),
    (
        "agents: {ana: {name: A, email: a@b}}",
        ["1 notifications.sender_email: the shipped address carteiro@localhost stands unchanged"],
    ),
    ("agents: {ana: {name: A, email: a@b}}\nnotifications: {sender_email: c@b}", []),
    (
        "system_addresses: {carteiro@localhost: {name: C, queue: Raw}}",
        ["1 system_addresses.carteiro@localhost: the shipped address stands unchanged"],
    ),
    (
        "accounts: {c: {type: imaps, host: h, user: u, password: {secret: p}, dispatch: by_to}}",
        ["1 accounts.c.dispatch: by_to without any system address"],
    ),
    (
        "auto_responses:\n  r: {type: auto_reply, queues: [Raw], subject: s, text: r.txt}",
        ["2 auto_responses.r.queues.0: queue Raw has no system address"],
    ),
    (ADDRESS + DEFAULT + "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: r.txt}}", []),
    (
        "accounts: {c: {type: pop3s, host: h, user: u, password: {secret: p}, queue: Raw, trusted: true}}",
        [],
    ),
    (
        """queues: {q: {follow_up_lock: true}}
filters: {f: {match: [{header: To, pattern: x}], refuse: {subject: s, text: t}}}""",
        [],
    ),
    (
        "filters: {f: {match: [{header: To, pattern: x}], set: {X-OTRS-Queue: Row, X-OTRS-Owner: ana}}}",
        [
            "1 filters.f.set.X-OTRS-Owner: no agent named ana",
            "1 filters.f.set.X-OTRS-Queue: no queue named Row",
        ],
    ),
    (
        f"{WATCHED}\nfilters: {{f: {{match: [{{header: To, pattern: '(x)'}}], set: {{X-OTRS-Queue: '[***]'}}}}}}",
        ["2 filters: no account applies them"],
    ),
    ("outbound: {o: {type: sendmail, default: true}}", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), WARNINGS)
def test_what_works_but_will_be_regretted_is_a_warning(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert warned(tmp_path, text) == expected


@pytest.mark.parametrize(("after", "move"), [("delete", ""), ("move", ", move_to: Done")])
@pytest.mark.parametrize(
    ("replicas", "found"),
    [(None, "an unknown number of copies"), (0, "0 copy"), (1, "1 copy"), (2, None), (3, None)],
)
def test_taking_mail_off_the_server_is_safe_with_two_replicas(
    tmp_path: Path, after: str, move: str, replicas: int | None, found: str | None
) -> None:
    text = f"accounts: {{c: {{host: h, {ACCOUNT}, after: {after}{move}}}}}"
    expected = [f"1 accounts.c.after: {after} while the mail topics keep {found}"] if found else []
    assert warned(tmp_path, text, replicas) == expected


def test_the_example_has_nothing_to_regret() -> None:
    loaded = load_desk(Path(__file__).parents[3] / "examples" / "desk.yaml")
    assert advice.warnings(loaded.desk) == []
