from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.desk.values import (
    Address,
    Fragment,
    Interval,
    Line,
    SecretName,
    Size,
    StartFrom,
    SystemId,
    TextFile,
    TimeZone,
    write_duration,
    write_size,
)

GOOD = [
    (Interval, "90s", timedelta(seconds=90)),
    (Interval, "10m", timedelta(minutes=10)),
    (Interval, "1h", timedelta(hours=1)),
    (Interval, "1d", timedelta(days=1)),
    (Interval, timedelta(minutes=2), timedelta(minutes=2)),
    (Size, "32MiB", 33_554_432),
    (Size, "512 KiB", 524_288),
    (Size, "1GiB", 1_073_741_824),
    (Size, 1000, 1000),
    (Address, "Suporte@Empresa.Example", "suporte@empresa.example"),
    (Address, "joão@empresa.example", "joão@empresa.example"),
    (StartFrom, "now", "now"),
    (StartFrom, "all", "all"),
    (StartFrom, "2026-01-31", date(2026, 1, 31)),
    (SystemId, 10, "10"),
    (SystemId, "010", "010"),
    (TimeZone, "America/Sao_Paulo", "America/Sao_Paulo"),
    (SecretName, "caixa_imap", "caixa_imap"),
    (TextFile, "recebido-2.txt", "recebido-2.txt"),
    (Fragment, "", ""),
    (Fragment, ": ", ": "),
]

BAD = [
    (Interval, 10),
    (Interval, True),
    (Interval, "10"),
    (Interval, "10 minutes"),
    (Interval, "PT10M"),
    (Interval, "9s"),
    (Interval, "25h"),
    (Interval, "-10m"),
    (Interval, "99999999999999999d"),
    (Interval, ["10m"]),
    (Size, "32MB"),
    (Size, "32mib"),
    (Size, 0),
    (Size, "0KiB"),
    (Size, -1),
    (Size, True),
    (Size, 1.5),
    (Address, "suporte"),
    (Address, "a@b@c"),
    (Address, "Ana <ana@empresa.example>"),
    (Address, "ana@empresa.example\r\nBcc: x@y.example"),
    (Address, "a" * 320 + "@b"),
    (StartFrom, "yesterday"),
    (StartFrom, "2026-02-30"),
    (StartFrom, 20260131),
    (StartFrom, ["now"]),
    (SystemId, "1a"),
    (SystemId, -1),
    (SystemId, True),
    (SystemId, ""),
    (SystemId, "٣"),
    (TimeZone, "Sao_Paulo"),
    (TimeZone, "../../etc/passwd"),
    (SecretName, "../id_rsa"),
    (SecretName, "folder/name"),
    (SecretName, ".hidden"),
    (SecretName, ""),
    (TextFile, "/etc/passwd"),
    (TextFile, "a\0b"),
    (Line, ""),
    (Line, "  "),
    (Line, " before"),
    (Line, "two\nlines"),
    (Line, "two\u2028lines"),
    (Fragment, "Re\r\n"),
]


@pytest.mark.parametrize(("kind", "written", "meant"), GOOD)
def test_a_value_means_what_an_administrator_wrote(kind: Any, written: object, meant: object) -> None:
    assert TypeAdapter(kind).validate_python(written) == meant


@pytest.mark.parametrize(("kind", "written"), BAD)
def test_a_value_that_cannot_be_meant_is_refused(kind: Any, written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(written)


@pytest.mark.parametrize("text", ["10s", "90s", "10m", "90m", "1h", "25h", "2d"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    assert write_duration(timedelta(seconds=int(text[:-1]) * units[text[-1]])) == text


def test_no_duration_is_no_seconds() -> None:
    assert write_duration(timedelta()) == "0s"


@pytest.mark.parametrize(("size", "text"), [(33_554_432, "32MiB"), (2048, "2KiB"), (1 << 30, "1GiB"), (1000, "1000")])
def test_a_size_is_written_in_its_largest_whole_unit(size: int, text: str) -> None:
    assert write_size(size) == text


@pytest.mark.parametrize("name", ["INBOX\r\nx LOGOUT", "a\nb", "a\0b", "a\rb"])
def test_i4_no_name_of_a_folder_or_user_brings_a_command_of_its_own(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Line).validate_python(name)
