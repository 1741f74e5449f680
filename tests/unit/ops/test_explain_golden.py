"""What a support engineer reads: `carteiro explain` of six mails, word by word.

After a wanted change the command's output is the new file: read the difference first.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import carteiro

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "explain"
MAILS = sorted(path.stem for path in FOLDER.glob("*.eml"))


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_is_explained_in_these_words(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(FOLDER)
    (tmp_path / "message_id_keys").write_text("6f" * 32)
    monkeypatch.setenv("CARTEIRO_SECRETS", str(tmp_path))
    monkeypatch.delenv("CARTEIRO_POSTGRES", raising=False)
    done = CliRunner().invoke(carteiro, ["explain", "--account", "caixa", "--desk", "desk.yaml", f"{name}.eml"])
    assert done.exit_code == 0, done.output
    assert done.stdout == (FOLDER / f"{name}.txt").read_text()


def test_six_mails_are_explained() -> None:
    assert MAILS == ["bounce", "claimed-ticket", "filter-hit", "person", "web-form", "withheld-answer"]
