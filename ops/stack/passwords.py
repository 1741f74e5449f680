"""Secrets of the local stack: one file each, mode 0600, made once and kept like data."""

import secrets
from pathlib import Path


def ensure(folder: Path, name: str, first: str | None = None) -> str:
    """The secret's text; a new one is `first`, else 32 random bytes in hex, on one line."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    if not path.exists():
        draft = folder / f".{name}.new"
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(f"{first or secrets.token_hex(32)}\n", encoding="ascii")
        draft.rename(path)
    return path.read_text(encoding="ascii").strip()
