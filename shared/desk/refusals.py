"""Pydantic's errors in the words of an administrator: what was found, what was expected. Pure."""

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.desk.findings import Complaint, Loc, suggest
from shared.desk.model import Desk
from shared.desk.values import EXPECTED

_SECRET = "{secret: NAME}; passwords never stand in this file"  # noqa: S105  # a sentence
_HOLD_SECRETS = {"password", "client_secret", "refresh_token", "service_account"}
_FIXED = {
    "string_type": "a text (a number, true or false in quotes)",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "a mapping of fields ({} for the defaults)",
    "dict_type": "a mapping by name ({} for none)",
    "tuple_type": "a list ([] for none)",
    "too_short": "at least one entry",
}
_FOLLOWS_FROM_ANOTHER = "default_factory_not_called"


def complaints(error: ValidationError) -> list[Complaint]:
    details = error.errors(include_url=False, include_context=True)
    return [_complaint(detail) for detail in details if not _follows(detail, details)]


def _follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Does another mistake say it already? A list is too short where its only entry is wrong in itself."""
    size = len(detail["loc"])
    inside = any(len(each["loc"]) > size and each["loc"][:size] == detail["loc"] for each in details)
    return detail["type"] == _FOLLOWS_FROM_ANOTHER or (detail["type"] == "too_short" and inside)


def _complaint(detail: ErrorDetails) -> Complaint:
    loc: Loc = detail["loc"]
    if loc and loc[-1] == "[key]":
        return Complaint(loc[:-1], "a key that cannot stand here", f"expected {_expectation(detail)}")
    if detail["type"] == "missing":
        return Complaint(loc, "missing", f"expected {_described(loc)}")
    hidden = [at for at, step in enumerate(loc) if step in _HOLD_SECRETS]
    if detail["type"] == "extra_forbidden" and hidden:
        # `password: {hunter2}` is YAML for a key of that name: not shown either.
        return Complaint(loc[: hidden[0] + 1], "not a secret's name", f"expected {_SECRET}")
    if detail["type"] == "extra_forbidden":
        part = part_at(loc[:-1])
        known = part.model_fields if part else ()
        return Complaint(loc, "not a known key", suggest(loc[-1], known))
    return Complaint(loc, _shown(detail["input"], loc), f"expected {_expectation(detail)}")


def _expectation(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if _HOLD_SECRETS & set(detail["loc"][-2:]):
        return _SECRET
    if kind == EXPECTED:
        return detail["msg"]
    if kind == "literal_error":
        return _choice(str(context["expected"]), detail["input"])
    if kind == "greater_than_equal":
        return f"a number of at least {context['ge']}"
    if kind == "less_than_equal":
        return f"a number of at most {context['le']}"
    return _FIXED.get(kind) or detail["msg"]


def _choice(expected: str, found: object) -> str:
    """Pydantic writes the choices as `'a', 'b' or 'c'`."""
    choices = expected.replace("'", "")
    hint = suggest(found, choices.replace(" or ", ", ").split(", ")) if isinstance(found, str) else ""
    return f"{choices}; {hint}" if hint.startswith("did you mean") else choices


def _described(loc: Loc) -> str:
    part = part_at(loc[:-1])
    info = part.model_fields.get(str(loc[-1])) if part else None
    text = (info.description if info else None) or "a value"
    return text[0].lower() + text[1:].rstrip(".") if text[1:2].islower() else text.rstrip(".")


def _shown(value: object, loc: Loc) -> str:
    """The value as it stands in the file, shortened; never one from a place where a password may stand."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if "secret" in loc or _HOLD_SECRETS & set(loc):
        return "a text that is not shown"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}...{text[-1]}"


def part_at(loc: Loc) -> type[BaseModel] | None:
    """The model whose fields stand at this place of the desk."""
    here: Any = Desk
    for step in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = here.model_fields.get(str(step))
            here = info.annotation if info else None
        else:
            here = get_args(here)[-1] if get_origin(here) is dict else None
        here = _bare(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Without Annotated and `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return _bare(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation
