from pathlib import Path

import pytest

from shared.desk.model import Desk
from shared.desk.secret_files import SecretError, missing_secrets, read_secret


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" blank \n\n", " blank \n")],
)
def test_a_secret_is_the_content_without_its_last_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "p").write_bytes(content)
    assert read_secret(tmp_path, "p").get_secret_value() == secret


def test_a_secret_does_not_show_itself(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("s3cret")
    assert "s3cret" not in f"{read_secret(tmp_path, 'p')!r} {read_secret(tmp_path, 'p')}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory); put the password there"),
        (b"", "is empty; put the password there"),
        (b"\n", "is empty; put the password there"),
        (b"s3cret\xff", "is not UTF-8"),
        (b"s3cret" * 20_000, "is larger than 64 KiB; expected a password"),
    ],
)
def test_a_secret_that_cannot_be_had_is_one_sentence_without_content(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "p").write_bytes(content)
    with pytest.raises(SecretError) as error:
        read_secret(tmp_path, "p")
    assert str(error.value) == f"secret p: {tmp_path / 'p'} {reason}"


def test_without_a_folder_the_setting_is_named() -> None:
    with pytest.raises(SecretError, match="set CARTEIRO_SECRETS"):
        read_secret(None, "p")


def test_every_password_that_the_desk_names_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    account = {"type": "imaps", "host": "h", "user": "u", "dispatch": "by_to"}
    desk = Desk.model_validate(
        {
            "accounts": {
                "a": account | {"password": {"secret": "there"}},
                "b": account | {"password": {"secret": "gone"}},
            },
            "outbound": {
                "o": {"type": "smtp", "host": "h", "user": "u", "password": {"secret": "lost"}},
                "n": {"type": "none"},
            },
        }
    )
    found = [complaint.loc for complaint in missing_secrets(desk, tmp_path)]
    assert found == [("accounts", "b", "password"), ("outbound", "o", "password")]


def test_every_secret_of_a_log_in_with_oauth2_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "client").write_text("x")
    oauth2 = {
        "provider": "microsoft",
        "tenant": "t",
        "client_id": "c",
        "client_secret": {"secret": "client"},
        "refresh_token": {"secret": "gone"},
    }
    account = {"type": "imaps", "host": "h", "user": "u", "dispatch": "by_to", "oauth2": oauth2}
    found = list(missing_secrets(Desk.model_validate({"accounts": {"a": account}}), tmp_path))
    assert [complaint.loc for complaint in found] == [
        ("accounts", "a", "oauth2", "refresh_token"),
        ("accounts", "a", "oauth2"),  # what is kept of it is sealed
    ]
    assert "oauth_keys" in found[1].found
