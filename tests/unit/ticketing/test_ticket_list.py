"""Places between two pages, and what a list asks of the database."""

from datetime import UTC, datetime

import pytest

from services.ticketing.ticket_list import Place, Wanted, dictionary, statement


@pytest.mark.parametrize("moment", [datetime(2026, 3, 1, 12, 30, 0, 123456, UTC), datetime(1969, 1, 1, tzinfo=UTC)])
def test_a_place_is_read_as_it_was_written(moment: datetime) -> None:
    place = Place(moment, 2**63 - 1)
    assert Place.parse(str(place)) == place
    assert str(place).isascii()


BEYOND = ["MS45OTk5OTk5OTk5OTk5OTk5OTk5OQ", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjE"]


@pytest.mark.parametrize("text", ["", "!", "eA", "MQ", "MS4", "MS4tMQ", "é", *BEYOND])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the `next` of a page"):
        Place.parse(text)


WORDS = {"pt-BR": "portuguese", "en": "english", "DE_AT": "german", "ja": "simple", "": "simple"}


@pytest.mark.parametrize(("language", "words"), WORDS.items())
def test_a_language_has_its_dictionary(language: str, words: str) -> None:
    assert dictionary(language) == words


def test_what_people_write_stands_in_the_arguments_alone() -> None:
    evil = "'; DROP TABLE tickets --"
    sql, values = statement(Wanted([evil], [evil], evil, evil, text=evil, language=evil))
    assert evil not in sql
    assert [each for each in values if evil in (each if isinstance(each, list) else [each])]
