"""Which migrations a database lacks, which it has from a newer version, and what a file must look like."""

from pathlib import Path

import pytest

from shared.migrations import Applied, Migration, MigrationError, available, compared

FIRST = Migration("mailer", 1, "pre", "0001_pre_queue.sql", "CREATE TABLE a ()")
SECOND = Migration("mailer", 2, "post", "0002_post_drop.sql", "DROP TABLE a")


def row(migration: Migration) -> Applied:
    return Applied(migration.service, migration.number, migration.phase, migration.name, migration.sha256)


def test_what_the_database_lacks_is_told_by_phase() -> None:
    found = compared([FIRST, SECOND], [])
    assert (found.pending(None), found.pending("pre"), found.pending("post")) == ([FIRST, SECOND], [FIRST], [SECOND])
    assert compared([FIRST, SECOND], [row(FIRST)]).lacks == [SECOND]


def test_what_a_newer_version_added_is_named_and_suffered() -> None:
    newer = Applied("mailer", 3, "pre", "0003_pre_more.sql", "0" * 64)
    found = compared([FIRST], [row(FIRST), newer])
    assert (found.lacks, list(map(str, found.newer))) == ([], ["mailer/0003_pre_more.sql"])


def test_what_a_newer_version_took_away_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"newer version \(mailer/0002_post_drop\.sql was applied\)"):
        compared([FIRST], [row(FIRST), row(SECOND)])


def test_the_same_number_of_another_service_is_another_migration() -> None:
    assert compared([FIRST], [Applied("fetcher", 1, "pre", "0001_pre_leases.sql", "0" * 64)]).lacks == [FIRST]


def test_a_file_that_changed_after_it_was_applied_is_refused() -> None:
    changed = Migration("mailer", 1, "pre", "0001_pre_queue.sql", "CREATE TABLE a (id int)")
    with pytest.raises(MigrationError, match=r"mailer/0001_pre_queue\.sql was changed"):
        compared([changed], [row(FIRST)])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("-- no-transaction\nSELECT 1;\nSELECT 2;\n", ["-- no-transaction\nSELECT 1", "\nSELECT 2"]),
        ("-- no-transaction\nSELECT 1", ["-- no-transaction\nSELECT 1"]),
        ("-- no-transaction\nSELECT ';' AS a,\n 2;  \n-- the end\n", ["-- no-transaction\nSELECT ';' AS a,\n 2"]),
    ],
)
def test_statements_end_with_a_semicolon_at_the_end_of_a_line(sql: str, expected: list[str]) -> None:
    assert Migration("mailer", 1, "pre", "0001_pre_x.sql", sql).statements == expected


@pytest.mark.parametrize(
    ("name", "sql", "complaint"),
    [
        ("0001_later_x.sql", "SELECT 1", "is named NNNN_pre_what"),
        ("first.sql", "SELECT 1", "is named NNNN_pre_what"),
        ("0001_pre_x.sql", "-- no-transaction\nCREATE UNIQUE INDEX  concurrently a ON b (c);", "needs IF NOT EXISTS"),
    ],
)
def test_a_file_that_cannot_be_applied_is_refused(tmp_path: Path, name: str, sql: str, complaint: str) -> None:
    folder = tmp_path / "mailer/migrations"
    folder.mkdir(parents=True)
    (folder / name).write_text(sql)
    with pytest.raises(MigrationError, match=complaint):
        available(tmp_path)


def test_a_comment_may_speak_of_indexes(tmp_path: Path) -> None:
    folder = tmp_path / "mailer/migrations"
    folder.mkdir(parents=True)
    (folder / "0001_pre_x.sql").write_text("-- not CREATE INDEX CONCURRENTLY yet\nSELECT 1;")
    assert len(available(tmp_path)) == 1


def test_a_number_is_given_once(tmp_path: Path) -> None:
    """The second of them would be taken for applied."""
    folder = tmp_path / "mailer/migrations"
    folder.mkdir(parents=True)
    for name in ("0001_pre_x.sql", "0001_pre_y.sql"):
        (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=r"0001_pre_y\.sql: another migration of the service has this number"):
        available(tmp_path)
