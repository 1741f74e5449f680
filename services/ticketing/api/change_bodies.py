"""What a change of a ticket asks for, and what it made: the bodies of requests and their answers."""

from typing import Annotated

import msgspec

from services.ticketing.api.shapes import Moment

_Why = Annotated[str, msgspec.Meta(max_length=1000)]
_Name = Annotated[str, msgspec.Meta(max_length=500)]
_Id = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,17}$")]


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """Fields that become others; what is not named stays. `owner` and `responsible`: agents, "" for nobody."""

    state: _Name | None = None
    pending_until: Moment | None = None
    priority: _Name | None = None
    owner: _Name | None = None
    responsible: _Name | None = None
    lock: _Name | None = None
    queue: _Name | None = None
    title: _Name | None = None
    why: _Why = ""


class NewNote(msgspec.Struct, forbid_unknown_fields=True):
    """`visible`: for the customer, who is not told of it."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    subject: _Name = ""
    visible: bool = False
    why: _Why = ""


class NewReply(msgspec.Struct, forbid_unknown_fields=True):
    """`to`: addresses; empty: the customer."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    subject: _Name = ""
    to: Annotated[list[_Name], msgspec.Meta(max_length=50)] = []
    cc: Annotated[list[_Name], msgspec.Meta(max_length=50)] = []
    why: _Why = ""


class MergeInto(msgspec.Struct, forbid_unknown_fields=True):
    """The ticket becomes part of the one of number `into`."""

    into: _Name
    why: _Why = ""


class SplitOff(msgspec.Struct, forbid_unknown_fields=True):
    """The article becomes a ticket of its own, and stays where it is."""

    article_id: _Id
    queue: _Name | None = None
    title: _Name | None = None
    why: _Why = ""


class LinkTo(msgspec.Struct, forbid_unknown_fields=True):
    """`type`: Normal or ParentChild (of which this ticket is the parent); `gone`: linked no more."""

    to: _Name
    type: _Name = "Normal"
    gone: bool = False
    why: _Why = ""


class WatchedBy(msgspec.Struct, forbid_unknown_fields=True):
    """The agent is told of what happens to the ticket; `gone`: no more."""

    agent: _Name
    gone: bool = False


class TagWith(msgspec.Struct, forbid_unknown_fields=True):
    add: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []
    drop: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []


class Made(msgspec.Struct):
    """What a command made: an article, a ticket."""

    number: str
    article_id: str | None = None
    created: str | None = None
