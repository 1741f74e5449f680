import hashlib
from pathlib import Path

import pytest

from shared.desk.findings import DeskError
from shared.desk.load import MAX_BYTES, current_hash, load_desk

ROOT = Path(__file__).parents[3]
ACCOUNT = "type: imaps, host: h, user: u, password: {secret: p}"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "desk.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path) -> list[str]:
    """Findings without the folder in front."""
    with pytest.raises(DeskError) as error:
        load_desk(path)
    lines = str(error.value).splitlines()
    assert lines == [str(finding) for finding in error.value.findings]
    return [line.removeprefix(f"{path.parent}/") for line in lines]


def test_the_example_of_the_documentation_works_as_it_stands() -> None:
    loaded = load_desk(ROOT / "examples" / "desk.yaml")
    assert loaded.desk.queue_for_recipient("Comercial@empresa.example") == "comercial"
    password = loaded.desk.accounts["caixa"].password
    assert password is not None
    assert password.secret == "caixa_imap"
    assert [agent.login for agent in loaded.desk.agents_of_queue("suporte")] == ["ana", "bruno"]
    assert loaded.desk.outbound_for("suporte@empresa.example")[0] == "padrao"
    found = loaded.desk.auto_response("suporte", "auto_reply")
    assert found is not None
    assert "recebemos sua mensagem" in loaded.texts[found[1].text or ""]


def test_an_empty_file_is_a_desk_that_answers_nobody(tmp_path: Path) -> None:
    loaded = load_desk(written(tmp_path, ""))
    assert (loaded.desk.default_queue, loaded.texts) == ("Raw", {})


MISTAKES = [
    ("langage: pt-BR", "desk.yaml:1: langage: not a known key; did you mean language?"),
    ("language: de", "desk.yaml:1: language: 'de'; expected en, es or pt-BR"),
    ("language: pt-br", "desk.yaml:1: language: 'pt-br'; expected en, es or pt-BR; did you mean pt-BR?"),
    (
        "time_zone: Brasilia",
        "desk.yaml:1: time_zone: 'Brasilia'; expected a time zone of the IANA list, such as America/Sao_Paulo or UTC",
    ),
    (
        "ticket:\n  system_id: X1",
        "desk.yaml:2: ticket.system_id: 'X1'; expected digits, such as 10",
    ),
    (
        "ticket: {number_generator: dates}",
        (
            "desk.yaml:1: ticket.number_generator: 'dates'; expected auto_increment, date or date_checksum; "
            "did you mean date?"
        ),
    ),
    ("ticket: {subject_size: big}", "desk.yaml:1: ticket.subject_size: 'big'; expected a whole number"),
    ("ticket: {subject_size: 0}", "desk.yaml:1: ticket.subject_size: 0; expected a number of at least 1"),
    ("ticket: {check_system_id: 7}", "desk.yaml:1: ticket.check_system_id: 7; expected true or false"),
    ("ticket: left", "desk.yaml:1: ticket: 'left'; expected a mapping of fields ({} for the defaults)"),
    ("queues:", "desk.yaml:1: queues: nothing; expected a mapping by name ({} for none)"),
    ("queues:\n  s:", "desk.yaml:2: queues.s: nothing; expected a mapping of fields ({} for the defaults)"),
    (
        "queues: {10: {}}",
        "desk.yaml:1: queues.10: a key that cannot stand here; expected a text (a number, true or false in quotes)",
    ),
    (
        "queues: {s: {follow_up: posible}}",
        "desk.yaml:1: queues.s.follow_up: 'posible'; expected possible, reject or new_ticket; did you mean possible?",
    ),
    ("queues: {s: {agents: ana}}", "desk.yaml:1: queues.s.agents: 'ana'; expected a list ([] for none)"),
    ("queues: {s: {agents: [ana]}}", "desk.yaml:1: queues.s.agents.0: no agent named ana; none is known here"),
    (
        "queues: {s: {agents: [anna]}}\nagents: {ana: {name: A, email: a@b}}",
        "desk.yaml:1: queues.s.agents.0: no agent named anna; did you mean ana?",
    ),
    (
        "queues: {s: {system_address: a@b}}",
        "desk.yaml:1: queues.s.system_address: no system address named a@b; none is known here",
    ),
    (
        "queues: {suporte: {}}\nsystem_addresses:\n  a@b:\n    name: A\n    queue: suport",
        "desk.yaml:5: system_addresses.a@b.queue: no queue named suport; did you mean suporte?",
    ),
    (
        "system_addresses:\n  a@b: {name: A, queue: Raw, outbound: x}",
        "desk.yaml:2: system_addresses.a@b.outbound: no outbound account named x; none is known here",
    ),
    (
        "system_addresses: {a@b: {queue: Raw}}",
        "desk.yaml:1: system_addresses.a@b.name: missing; expected real name beside the address in From",
    ),
    (
        "system_addresses: {nobody: {name: N, queue: Raw}}",
        (
            "desk.yaml:1: system_addresses.nobody: a key that cannot stand here; "
            "expected a mail address such as support@company.example"
        ),
    ),
    (
        "system_addresses:\n  a@b: {name: A, queue: Raw}\n  A@b: {name: A, queue: Raw}",
        "desk.yaml:3: system_addresses.A@b: the same address as a@b; expected it once",
    ),
    ("postmaster_default_queue: x", "desk.yaml:1: postmaster_default_queue: no queue named x; expected one of Raw"),
    (
        f"accounts: {{c: {{{ACCOUNT}}}}}",
        "desk.yaml:1: accounts.c: neither dispatch nor queue; expected dispatch: by_to, or queue: NAME",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, dispatch: by_to, queue: Raw}}}}",
        "desk.yaml:1: accounts.c.queue: stands beside dispatch: by_to; expected one of the two",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, queue: x}}}}",
        "desk.yaml:1: accounts.c.queue: no queue named x; expected one of Raw",
    ),
    (
        f"accounts:\n  c: {{{ACCOUNT}, queue: Raw,\n    interval: 10}}",
        "desk.yaml:3: accounts.c.interval: 10; expected a duration with its unit, such as 90s, 10m or 1h",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, queue: Raw, interval: 1s}}}}",
        "desk.yaml:1: accounts.c.interval: '1s'; expected a duration from 10s to 1d",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, queue: Raw, port: 70000}}}}",
        "desk.yaml:1: accounts.c.port: 70000; expected a number of at most 65535",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, queue: Raw, after: move}}}}",
        "desk.yaml:1: accounts.c.move_to: missing; expected the folder for fetched mails, as after is move",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, queue: Raw, after: move, move_to: inbox}}}}",
        "desk.yaml:1: accounts.c.move_to: the watched folder itself; expected another folder",
    ),
    (
        f"accounts: {{c: {{{ACCOUNT}, queue: Raw, move_to: Done}}}}",
        "desk.yaml:1: accounts.c.move_to: a folder beside after: seen; expected after: move, or nothing here",
    ),
    (
        "accounts: {c: {type: pop3s, host: h, user: u, password: {secret: p}, queue: Raw, after: seen}}",
        "desk.yaml:1: accounts.c.after: seen beside pop3s; expected keep or delete",
    ),
    (
        "accounts: {c: {type: pop3s, host: h, user: u, password: {secret: p}, queue: Raw, idle: false}}",
        "desk.yaml:1: accounts.c.idle: a field of IMAP beside pop3s; expected nothing here",
    ),
    (
        (
            "accounts:\n  a: {type: imap, host: h, user: u, password: {secret: p}, queue: Raw, folder: Inbox}\n"
            "  b: {type: imaps, host: H, user: u, password: {secret: p}, queue: Raw}"
        ),
        "desk.yaml:3: accounts.b: the same host, user and folder as account a; expected one account for each mailbox",
    ),
    (
        (
            f"accounts:\n  a: {{{ACCOUNT}, queue: Raw}}\n"
            "  b: {type: pop3, host: H, user: U, password: {secret: p}, queue: Raw}"
        ),
        "desk.yaml:3: accounts.b: the same host, user and folder as account a; expected one account for each mailbox",
    ),
    (
        "outbound: {o: {type: none, host: h}}",
        "desk.yaml:1: outbound.o.host: a field of SMTP beside none; expected nothing here",
    ),
    (
        "auto_responses: {r: {type: auto_reply, queues: [Raw], html: text.txt}}",
        "desk.yaml:1: auto_responses.r.html: stands without text; expected the same as plain text in text",
    ),
    (
        "queues: {q: {signature: gone.txt}}",
        "desk.yaml:1: queues.q.signature: gone.txt cannot be read; expected a text file in UTF-8 beside the desk",
    ),
    (
        (
            "notifications: {rules: {r: {events: [note], recipients: [customer], "
            "texts: {en: {subject: s, text: text.txt}}}}}"
        ),
        (
            "desk.yaml:1: notifications.rules.r.recipients: a customer beside an event that no mail causes; "
            "expected new_ticket and follow_up alone"
        ),
    ),
    (
        "notifications: {rules: {r: {recipients: [owner]}}}",
        "desk.yaml:1: notifications.rules.r.events: none; expected at least one, or valid: false",
    ),
    (
        "notifications: {rules: {r: {events: [new_ticket]}}}",
        "desk.yaml:1: notifications.rules.r.recipients: none, and no addresses; expected at least one, or valid: false",
    ),
    (
        "notifications: {rules: {r: {events: [new_ticket], recipients: [customer]}}}",
        (
            "desk.yaml:1: notifications.rules.r.texts: none beside a customer; "
            "expected a text: the shipped ones are for agents"
        ),
    ),
    (
        "notifications: {rules: {r: {events: [delivery_failure], recipients: [owner], locks: [lock]}}}",
        "desk.yaml:1: notifications.rules.r.locks: stands beside delivery_failure; expected nothing here",
    ),
    (
        "notifications: {rules: {r: {events: [delivery_failure], recipients: [watchers]}}}",
        (
            "desk.yaml:1: notifications.rules.r.recipients: watchers beside delivery_failure; "
            "expected owner, responsible, queue_agents"
        ),
    ),
    (
        "notifications: {rules: {r: {events: [new_ticket], recipients: [owner], queues: [Row]}}}",
        "desk.yaml:1: notifications.rules.r.queues.0: no queue named Row; did you mean Raw?",
    ),
    (
        (
            "notifications: {rules: {r: {events: [new_ticket], recipients: [owner], "
            "texts: {en: {subject: s, text: gone.txt}}}}}"
        ),
        (
            "desk.yaml:1: notifications.rules.r.texts.en.text: gone.txt cannot be read; "
            "expected a text file in UTF-8 beside the desk"
        ),
    ),
    (
        "outbound: {o: {type: smtp}}",
        "desk.yaml:1: outbound.o.host: missing; expected the name of the server, as type is smtp",
    ),
    (
        "outbound: {o: {type: smtp, host: h, port: 0}}",
        "desk.yaml:1: outbound.o.port: 0; expected a number from 1 to 65535",
    ),
    (
        "outbound: {o: {type: smtp, host: h, user: u}}",
        "desk.yaml:1: outbound.o.password: missing; expected {secret: NAME}, or oauth2",
    ),
    (
        "outbound: {o: {type: smtp, host: h, password: {secret: p}}}",
        "desk.yaml:1: outbound.o.user: missing beside password; expected the name to log in with",
    ),
    (
        "outbound:\n  a: {type: none, default: true}\n  b: {type: none, default: true}",
        "desk.yaml:3: outbound.b.default: true, as in account a; expected one default",
    ),
    (
        (
            "auto_responses:\n  r: {type: auto_reply, queues: [Raw], subject: s, text: text.txt}\n"
            "  s: {type: auto_reply, queues: [Raw], subject: s, text: text.txt}"
        ),
        (
            "desk.yaml:3: auto_responses.s.queues.0: queue Raw has its auto_reply already in r; "
            "expected one of each type for a queue"
        ),
    ),
    (
        "auto_responses: {r: {type: auto_reply, queues: [], subject: s, text: text.txt}}",
        "desk.yaml:1: auto_responses.r.queues: a list; expected at least one entry",
    ),
    (
        "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: none.txt}}",
        "desk.yaml:1: auto_responses.r.text: none.txt cannot be read; expected a text file in UTF-8 beside the desk",
    ),
    (
        "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: empty.txt}}",
        "desk.yaml:1: auto_responses.r.text: empty.txt is empty; expected a text file in UTF-8 beside the desk",
    ),
    (
        "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: latin1.txt}}",
        "desk.yaml:1: auto_responses.r.text: latin1.txt is not UTF-8; expected a text file in UTF-8 beside the desk",
    ),
    (
        "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: ../etc}}",
        (
            "desk.yaml:1: auto_responses.r.text: '../etc'; expected the name of a file beside the desk, "
            "of letters, digits, '.', '_' and '-', without a folder"
        ),
    ),
    (
        "filters: {spam: {match: [{header: Subject, pattern: '(?=x)'}]}}",
        (
            "desk.yaml:1: filters.spam.match.0.pattern: '(?=x)'; expected a regular expression that RE2 takes: "
            "look-ahead, look-behind and the like are not available"
        ),
    ),
    (
        "filters: {spam: {match: [{header: Subject, pattern: x}], set: {X-OTRS-Queu: Raw}}}",
        "desk.yaml:1: filters.spam.set.X-OTRS-Queu: no control header; did you mean X-OTRS-Queue?",
    ),
    (
        "filters: {spam: {match: [{header: Subject, pattern: x}], accounts: [caixa]}}",
        "desk.yaml:1: filters.spam.accounts.0: no account named caixa; none is known here",
    ),
    ("- a\n- b", "desk.yaml:1: a list; expected a mapping of fields ({} for the defaults)"),
    ("language: en\nlanguage: es", "desk.yaml:1: language: the key stands twice, also in line 2; expected it once"),
    ("language: [en", "desk.yaml:1: expected ',' or ']', but got '<stream end>'; expected YAML"),
    (b"language: \xff", "desk.yaml:1: bytes that are not UTF-8; expected YAML"),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_a_mistake_names_file_line_field_what_was_found_and_expected(
    tmp_path: Path, text: str | bytes, line: str
) -> None:
    (tmp_path / "text.txt").write_text("Hello")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin1.txt").write_bytes(b"Ol\xe1")
    assert refused(written(tmp_path, text)) == [line]


def test_all_mistakes_come_at_once_sorted_by_line(tmp_path: Path) -> None:
    text = """\
outbound: {o: {type: none, host: h}}
queues:
  s: {follow_up: maybe, agents: [zoe]}
accounts:
  a: {type: imapx, host: h, queue: nowhere}
  b: {type: imap, host: h, user: u, password: {secret: p}, queue: s, move_to: x}
language: xx
"""
    assert [line.split(": ")[:2] for line in refused(written(tmp_path, text))] == [
        ["desk.yaml:1", "outbound.o.host"],
        ["desk.yaml:3", "queues.s.agents.0"],
        ["desk.yaml:3", "queues.s.follow_up"],
        ["desk.yaml:5", "accounts.a.type"],
        ["desk.yaml:5", "accounts.a.user"],
        ["desk.yaml:6", "accounts.b.move_to"],
        ["desk.yaml:7", "language"],
    ]


def test_a_reference_to_an_entry_that_is_wrong_in_itself_is_no_second_mistake(tmp_path: Path) -> None:
    text = "queues: {s: 1}\nagents: {ana: 1}\nsystem_addresses: {a@b: {name: A, queue: s}}\n"
    assert [line.split(": ")[1] for line in refused(written(tmp_path, text))] == ["queues.s", "agents.ana"]


@pytest.mark.parametrize(
    "password",
    ["hunter2", "{secret: 'hunter2 !'}", "{hunter2}", "{secret: p, value: hunter2}", "[hunter2]", "{value: hunter2}"],
)
def test_a_password_in_the_desk_is_refused_and_never_repeated(tmp_path: Path, password: str) -> None:
    text = f"accounts: {{c: {{type: imaps, host: h, user: u, queue: Raw, password: {password}}}}}"
    lines = refused(written(tmp_path, text))
    assert "hunter2" not in "\n".join(lines)
    assert any("passwords never stand in this file" in line for line in lines)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    assert refused(tmp_path / "desk.yaml") == [
        "desk.yaml: cannot be read (No such file or directory); expected a desk, as in examples/desk.yaml"
    ]


def test_a_file_of_more_than_one_mebibyte_is_not_read(tmp_path: Path) -> None:
    assert "cannot be read (larger than 1 MiB)" in refused(written(tmp_path, b"#" * (MAX_BYTES + 1)))[0]


RESPONSE = "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: r.txt}}\n"


def test_the_hash_covers_the_desk_and_its_texts(tmp_path: Path) -> None:
    path = written(tmp_path, RESPONSE)
    hashes = set()
    for text, suffix in (("one", ""), ("two", ""), ("two", "# comment\n")):
        (tmp_path / "r.txt").write_text(text)
        path.write_text(RESPONSE + suffix)
        hashes.add(load_desk(path).sha256)
    assert len(hashes) == 3
    assert all(len(each) == hashlib.sha256().digest_size * 2 for each in hashes)


def test_the_hash_of_a_refused_desk_is_that_of_its_content(tmp_path: Path) -> None:
    path = written(tmp_path, RESPONSE)
    with pytest.raises(DeskError) as error:
        load_desk(path)
    assert error.value.texts == {"r.txt"}
    assert error.value.sha256 == current_hash(path, error.value.texts)
    (tmp_path / "r.txt").write_text("here")
    assert current_hash(path, error.value.texts) == load_desk(path).sha256 != error.value.sha256


def test_a_text_loses_its_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes(b"\xef\xbb\xbfOl\xc3\xa1\r\nBom dia\r\n")
    assert load_desk(written(tmp_path, RESPONSE)).texts == {"r.txt": "Olá\nBom dia\n"}
