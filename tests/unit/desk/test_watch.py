import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.desk.findings import DeskError
from shared.desk.load import LoadedDesk
from shared.desk.watch import DeskWatch

START = datetime(2026, 1, 1, tzinfo=UTC)
RESPONSE = "auto_responses: {r: {type: auto_reply, queues: [Raw], subject: s, text: r.txt}}\n"


class Watched:
    """A watch over a mounted folder as the kubelet makes one, and what it reported."""

    def __init__(self, folder: Path, text: str, **texts: str) -> None:
        self.folder = folder
        self.versions = 0
        self.time = START
        self.changes: list[str] = []
        self.attempts: list[bool] = []
        self.mount(text, **texts)
        (folder / "desk.yaml").symlink_to(Path("..data") / "desk.yaml")
        (folder / "r.txt").symlink_to(Path("..data") / "r.txt")
        self.watch = DeskWatch(
            folder / "desk.yaml",
            on_change=self._changed,
            on_attempt=lambda watch: self.attempts.append(watch.last_reload_successful),
            now=lambda: self.time,
        )

    def _changed(self, loaded: LoadedDesk) -> None:
        self.changes.append(loaded.desk.language)

    def mount(self, text: str, **texts: str) -> None:
        """A new folder with the content, to which the link `..data` is moved at once."""
        self.versions += 1
        version = self.folder / f"..version{self.versions}"
        version.mkdir()
        for name, content in {"desk.yaml": text, **{f"{key}.txt": value for key, value in texts.items()}}.items():
            (version / name).write_text(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")


def test_without_a_good_desk_there_is_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="language"):
        Watched(tmp_path, "language: xx")


async def test_a_new_content_behind_the_link_is_taken_over_at_once(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    before = watched.watch.current
    watched.mount("language: es")
    watched.time += timedelta(minutes=1)
    after = await watched.watch.check()
    assert (before.desk.language, after.desk.language, watched.changes) == ("en", "es", ["es"])
    assert watched.watch.last_success == START + timedelta(minutes=1)
    assert before.sha256 != after.sha256


async def test_the_same_content_is_no_change(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    watched.mount("language: en")
    first = watched.watch.current
    assert await watched.watch.check() is first
    assert (watched.changes, watched.attempts) == ([], [True])


async def test_a_broken_desk_leaves_the_last_good_one_in_use(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    watched.mount("language: xx")
    watched.time += timedelta(minutes=1)
    assert (await watched.watch.check()).desk.language == "en"
    assert (watched.watch.last_reload_successful, watched.watch.last_success) == (False, START)
    assert "desk.yaml:1: language: 'xx'" in str(watched.watch.error)
    await watched.watch.check()
    assert (watched.changes, watched.attempts) == ([], [True, False])


async def test_a_repaired_desk_is_taken_over(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    for text in ("language: [", "language: es"):
        watched.mount(text)
        await watched.watch.check()
    assert (watched.changes, watched.attempts) == (["es"], [True, False, True])
    assert watched.watch.error is None


async def test_going_back_to_the_good_desk_clears_the_error_without_a_change(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    for text in ("language: xx", "language: en"):
        watched.mount(text)
        await watched.watch.check()
    assert (watched.changes, watched.attempts) == ([], [True, False, True])


async def test_a_file_that_vanishes_leaves_the_last_good_desk(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    (tmp_path / "desk.yaml").unlink()
    assert (await watched.watch.check()).desk.language == "en"
    await watched.watch.check()
    assert watched.attempts == [True, False]


async def test_a_changed_text_is_a_changed_desk(tmp_path: Path) -> None:
    watched = Watched(tmp_path, RESPONSE, r="one")
    watched.mount(RESPONSE, r="two")
    assert (await watched.watch.check()).texts == {"r.txt": "two"}
    assert watched.changes == ["en"]


async def test_a_text_that_comes_late_completes_the_desk(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: es")
    watched.mount(RESPONSE)
    assert (await watched.watch.check()).desk.language == "es"
    watched.mount(RESPONSE, r="here")
    assert (await watched.watch.check()).texts == {"r.txt": "here"}
    assert watched.attempts == [True, False, True]


async def test_a_running_watch_sees_the_change_by_itself(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "language: en")
    changed = asyncio.Event()
    watched.watch.on_change = lambda _: changed.set()
    task = asyncio.create_task(watched.watch.run(every=0.01))
    watched.mount("language: es")
    await asyncio.wait_for(changed.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watched.watch.current.desk.language == "es"
