import pytest

from shared.oauth.sealing import seal, unseal

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_is_sealed_is_read_again_and_shows_nothing() -> None:
    sealed = seal("refresh-canary", "caixa", [NEW])
    assert b"canary" not in sealed
    assert unseal(sealed, "caixa", [NEW]) == "refresh-canary"
    assert seal("refresh-canary", "caixa", [NEW]) != sealed


def test_the_newest_key_seals_and_every_key_opens() -> None:
    assert unseal(seal("x", "caixa", [OLD]), "caixa", [NEW, OLD]) == "x"
    assert unseal(seal("x", "caixa", [NEW, OLD]), "caixa", [NEW]) == "x"


@pytest.mark.parametrize(("name", "keys"), [("other", [NEW]), ("caixa", [OLD]), ("caixa", [])])
def test_another_account_or_key_opens_nothing(name: str, keys: list[bytes]) -> None:
    assert unseal(seal("x", "caixa", [NEW]), name, keys) is None


def test_what_was_changed_opens_nothing() -> None:
    sealed = seal("x", "caixa", [NEW])
    assert all(
        unseal(part, "caixa", [NEW]) is None for part in (b"", sealed[:12], sealed[:-1] + b"?", b"2" + sealed[1:])
    )
