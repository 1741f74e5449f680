"""Which tickets a list shows, the newest first, page by page: the statement for what is asked, and its rows.

Every statement reads about as many rows as the page shows, however many tickets there are: the indexes end with
`created_at, id`, the order of the list, and a page begins behind the last ticket of the one before (keyset).
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from services.ticketing.policy import STATE_TYPES
from shared.postgres import Connection

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# texts of PostgreSQL's dictionaries by language (RFC 5646); other languages are searched by their words as written
DICTIONARIES = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "id": "indonesian", "it": "italian", "nb": "norwegian", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip


def dictionary(language: str) -> str:
    """`pt-BR` -> `portuguese`."""
    return DICTIONARIES.get(language.replace("_", "-").partition("-")[0].lower(), "simple")


class Place(NamedTuple):
    """The last ticket of a page."""

    created_at: datetime
    id: int

    def __str__(self) -> str:
        text = f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}.{self.id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises ValueError for what is no place of ours."""
        try:
            moment, _, number = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).partition(b".")
            found = cls(_EPOCH + timedelta(microseconds=int(moment)), int(number))
        except (ValueError, OverflowError, binascii.Error):
            raise ValueError("not the `next` of a page") from None
        if not 0 <= found.id < 2**63:
            raise ValueError("not the `next` of a page")
        return found


class Wanted(NamedTuple):
    """What a list shows. None and "" ask for nothing. `text`: words, `"a phrase"`, `-without`, `or`; `language`: of
    the desk. `created_from` belongs to it, `created_to` does not."""

    queues: Sequence[str] | None = None
    states: Sequence[str] | None = None
    owner: str = ""
    customer: str = ""
    created_from: datetime | None = None
    created_to: datetime | None = None
    text: str = ""
    language: str = ""
    after: Place | None = None
    limit: int = 50


COLUMNS = """
t.number, t.id::text AS ticket_id, t.queue, t.state, t.state_type, t.priority, t.lock, t.title, t.owner, t.responsible,
t.customer_user, t.created_at, t.changed_at, t.closed_at, t.event_sequence AS version,
(SELECT count(*) FROM ticketing.articles a WHERE a.ticket_id = t.id) AS articles
"""
_NEWEST = "ORDER BY t.created_at DESC, t.id DESC LIMIT {limit}"
_PAGE = f"""
SELECT {COLUMNS} FROM (SELECT t.* FROM ticketing.tickets t WHERE {{where}} {_NEWEST}) t {_NEWEST}
"""  # noqa: S608  # text of ours; values are arguments
# by number of the row: of a frequent word the newest tickets are looked at, of a rare one its tickets are sorted
_FOUND = f"""
SELECT {COLUMNS} FROM (SELECT t.* FROM ticketing.tickets t WHERE {{where}} ORDER BY t.id DESC LIMIT {{limit}}) t
ORDER BY t.id DESC
"""  # noqa: S608
# a page of each queue and state by the index, then the newest of them; an index of the time alone would tempt the
# planner to walk along it until enough of a rare state have come
_MERGED = f"""
SELECT {COLUMNS}
FROM (SELECT t.* FROM {{queues}} q (name) CROSS JOIN unnest({{states}}::text[]) s (name) CROSS JOIN LATERAL (
        SELECT t.* FROM ticketing.tickets t WHERE t.queue = q.name AND t.state = s.name AND {{where}} {_NEWEST}) t
      {_NEWEST}) t {_NEWEST}
"""  # noqa: S608
# every queue there is, from one to the next by the index
_QUEUES = """
(WITH RECURSIVE each AS (
    (SELECT queue FROM ticketing.tickets ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM ticketing.tickets t WHERE t.queue > e.queue ORDER BY t.queue LIMIT 1)
    FROM each e WHERE e.queue IS NOT NULL)
 SELECT queue FROM each WHERE queue IS NOT NULL)
"""
_WORDS = """
EXISTS (SELECT FROM ticketing.searchable s WHERE s.ticket_id = t.id
        AND s.words @@ (websearch_to_tsquery({dictionary}::text::regconfig, {text})
                        || websearch_to_tsquery('simple', {text})))
"""


class _Values(list[Any]):
    def __call__(self, value: Any) -> str:
        """The placeholder of one more value."""
        self.append(value)
        return f"${len(self)}"


def statement(wanted: Wanted) -> tuple[str, list[Any]]:
    """The SQL and its arguments. Pure."""
    value = _Values()
    limit = value(wanted.limit)
    where = ["true", *_time(wanted, value), *_people(wanted, value)]
    if not (wanted.owner or wanted.customer or wanted.text):
        queues = _QUEUES if wanted.queues is None else f"unnest({value(list(wanted.queues))}::text[])"
        states = value(list(STATE_TYPES if wanted.states is None else wanted.states))
        return _MERGED.format(queues=queues, states=states, where=" AND ".join(where), limit=limit), value
    if wanted.queues is not None:
        where.append(f"t.queue = ANY ({value(list(wanted.queues))}::text[])")
    if wanted.states is not None:
        where.append(f"t.state = ANY ({value(list(wanted.states))}::text[])")
    return (_FOUND if wanted.text else _PAGE).format(where=" AND ".join(where), limit=limit), value


def _time(wanted: Wanted, value: _Values) -> Iterator[str]:
    if wanted.created_from is not None:
        yield f"t.created_at >= {value(wanted.created_from)}"
    if wanted.created_to is not None:
        yield f"t.created_at < {value(wanted.created_to)}"
    if wanted.after is not None and wanted.text:
        yield f"t.id < {value(wanted.after.id)}"
    elif wanted.after is not None:
        yield f"(t.created_at, t.id) < ({value(wanted.after.created_at)}, {value(wanted.after.id)})"


def _people(wanted: Wanted, value: _Values) -> Iterator[str]:
    if wanted.owner:
        yield f"t.owner = {value(wanted.owner)} AND t.owner <> ''"
    if wanted.customer:
        yield f"t.customer_user = {value(wanted.customer)}"
    if wanted.text:
        yield _WORDS.format(dictionary=value(dictionary(wanted.language)), text=value(wanted.text))


async def page(connection: Connection, wanted: Wanted) -> tuple[list[Row], Place | None]:
    """The tickets, and where the next page begins; None: this is the last one."""
    sql, values = statement(wanted._replace(limit=wanted.limit + 1))
    rows = [dict(record) for record in await connection.fetch(sql, *values)]
    if len(rows) <= wanted.limit:
        return rows, None
    last = rows[wanted.limit - 1]
    return rows[: wanted.limit], Place(last["created_at"], int(last["ticket_id"]))
