"""What the desk says of a log-in with OAuth2."""

from pathlib import Path

import pytest

from shared.desk.advice import warnings
from shared.desk.findings import DeskError
from shared.desk.load import load_desk

MICROSOFT = "provider: microsoft, tenant: t, client_id: c, client_secret: {secret: s}"
GOOGLE = "provider: google, service_account: {secret: s}"


def found(folder: Path, fields: str, account_type: str = "imaps") -> list[str]:
    path = folder / "desk.yaml"
    path.write_text(f"accounts: {{c: {{type: {account_type}, host: h, user: u, queue: Raw, {fields}}}}}")
    try:
        loaded = load_desk(path)
    except DeskError as error:
        return [str(finding).partition(": ")[2] for finding in error.findings]
    return [str(finding).partition(": ")[2] for finding in loaded.findings(warnings(loaded.desk))]


@pytest.mark.parametrize(
    "fields",
    [
        MICROSOFT,
        MICROSOFT + ", refresh_token: {secret: r}",
        "provider: microsoft, tenant: t, client_id: c, refresh_token: {secret: r}",
        MICROSOFT.replace("tenant: t", "token_url: 'https://login.cloud.example/t/token'"),
        MICROSOFT + ", token_url: 'http://localhost:8080/token'",
        GOOGLE,
        "provider: google, client_id: c, client_secret: {secret: s}, refresh_token: {secret: r}",
    ],
)
def test_a_log_in_that_can_work(tmp_path: Path, fields: str) -> None:
    assert found(tmp_path, f"oauth2: {{{fields}}}") == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("idle: true", "c.password: missing; expected {secret: NAME}, or oauth2"),
        (f"password: {{secret: p}}, oauth2: {{{GOOGLE}}}", "c.oauth2: stands beside password; expected one of the two"),
        (
            "oauth2: {provider: microsoft, client_id: c, client_secret: {secret: s}}",
            "c.oauth2.tenant: missing; expected the id or domain of the organisation",
        ),
        (
            "oauth2: {provider: microsoft, tenant: t, client_secret: {secret: s}}",
            "c.oauth2.client_id: missing; expected the application's id",
        ),
        (
            "oauth2: {provider: microsoft, tenant: t, client_id: c}",
            "c.oauth2.client_secret: missing; expected {secret: NAME} here, or as refresh_token",
        ),
        (
            f"oauth2: {{{MICROSOFT}, service_account: {{secret: s}}}}",
            "c.oauth2.service_account: a field of google beside microsoft; expected nothing here",
        ),
        (
            f"oauth2: {{{GOOGLE}, tenant: t}}",
            "c.oauth2.tenant: a field of microsoft beside google; expected nothing here",
        ),
        (
            f"oauth2: {{{GOOGLE}, client_id: c}}",
            "c.oauth2.client_id: stands beside service_account, which has its own; expected nothing here",
        ),
        (
            "oauth2: {provider: google, client_id: c, refresh_token: {secret: r}}",
            "c.oauth2.client_secret: missing; expected it, or service_account",
        ),
        ("oauth2: {provider: yahoo}", "c.oauth2.provider: 'yahoo'; expected microsoft or google"),
    ],
)
def test_a_log_in_that_cannot_work(tmp_path: Path, fields: str, says: str) -> None:
    assert f"accounts.{says}" in found(tmp_path, fields)


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/token",
        "ftp://h/",
        "https://",
        "https://u:p@h/",
        "login.example",
        "https://h:x/",
        "https://h/#f",
    ],
)
def test_client_secrets_go_nowhere_in_the_clear(tmp_path: Path, url: str) -> None:
    (line,) = found(tmp_path, f"oauth2: {{{MICROSOFT}, token_url: '{url}'}}")
    assert line.startswith("accounts.c.oauth2.token_url: ")
    assert line.endswith("expected the https:// address of a token endpoint")


@pytest.mark.parametrize("field", ["client_secret", "refresh_token", "service_account"])
@pytest.mark.parametrize("written", ["hunter2", "{hunter2}", "{secret: 'hunter2 x'}", "[hunter2]"])
def test_a_secret_in_the_desk_is_refused_and_never_repeated(tmp_path: Path, field: str, written: str) -> None:
    lines = found(tmp_path, f"oauth2: {{provider: microsoft, tenant: t, client_id: c, {field}: {written}}}")
    assert lines
    assert not any("hunter2" in line for line in lines)


def test_a_token_in_the_clear_is_warned_of(tmp_path: Path) -> None:
    assert found(tmp_path, f"oauth2: {{{MICROSOFT}}}", "imap") == [
        "accounts.c.type: imap sends the access token in clear; imaps and imaptls protect it"
    ]
