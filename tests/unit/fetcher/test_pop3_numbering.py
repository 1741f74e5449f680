"""Which number each mail of a drop gets."""

from services.fetcher.pop3.client import arrived
from services.fetcher.pop3.numbering import Known, distinct, numbered


def test_new_mails_get_the_next_numbers_in_the_servers_order() -> None:
    found = numbered({("a", 10): Known(4, read=True)}, [("c", 1), ("a", 10), ("b", 2)], 1, 7)
    assert found.uids == (7, 4, 8)
    assert found.new == (("c", 1, 7), ("b", 2, 8))
    assert (found.generation, found.next_uid) == (1, 9)


def test_the_same_uidl_with_another_size_is_another_mail() -> None:
    assert numbered({("a", 10): Known(4, read=True)}, [("a", 11)], 1, 7).uids == (7,)


def test_what_is_gone_is_forgotten_if_it_was_read_and_missed_if_not() -> None:
    known = {("a", 1): Known(1, read=True), ("b", 2): Known(2, read=False), ("c", 3): Known(3, read=True)}
    found = numbered(known, [("c", 3)], 1, 4)
    assert (found.gone, found.missing, found.generation) == ((1,), (2,), 1)


def test_a_drop_in_which_nothing_is_known_is_another_generation() -> None:
    assert numbered({("a", 1): Known(1, read=True)}, [("b", 1)], 3, 4).generation == 4
    assert numbered({("a", 1): Known(1, read=True)}, [], 3, 4).generation == 3
    assert numbered({("a", 1): Known(1, read=False, missing=True)}, [("b", 1)], 3, 4).generation == 3
    assert numbered({}, [("b", 1)], 3, 4).generation == 3


def test_a_name_twice_is_told_apart() -> None:
    assert distinct([("a", 1), ("a", 1), ("a", 2)]) == [("a", 1), ("a#2", 1), ("a", 2)]


def test_the_date_is_that_of_the_topmost_received_line() -> None:
    head = b"Return-Path: <x>\r\nReceived: from a\r\n\tby b; Tue, 24 Nov 2026 10:00:00 -0300\r\n"
    found = arrived(head + b"Received: x; 1 Jan 2000\r\n")
    assert found is not None
    assert found.isoformat() == "2026-11-24T13:00:00+00:00"
    assert arrived(b"Received: by b; whenever\r\n") is None
    assert arrived(b"Subject: x\r\n") is None
