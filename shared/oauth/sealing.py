"""What the database keeps of a log-in is sealed: AES-256-GCM under a key of the secret `oauth_keys`."""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORM = b"1"
_NONCE = 12


def seal(text: str, name: str, keys: Sequence[bytes]) -> bytes:
    """For `name` alone; the first key seals. Form, nonce, ciphertext with its tag."""
    nonce = os.urandom(_NONCE)
    return _FORM + nonce + _cipher(keys[0]).encrypt(nonce, text.encode(), name.encode())


def unseal(sealed: bytes, name: str, keys: Sequence[bytes]) -> str | None:
    """None for what none of the keys has sealed for `name`."""
    nonce, ciphertext = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    for key in keys if sealed[:1] == _FORM else ():
        try:
            return _cipher(key).decrypt(nonce, ciphertext, name.encode()).decode()
        except (InvalidTag, ValueError):
            continue
    return None


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(hashlib.sha256(b"carteiro oauth\0" + key).digest())
