from pathlib import Path
from typing import Any

from shared.desk.model import Desk
from shared.desk.schema import desk_schema, page_text, schema_text

DOCS = Path(__file__).parents[3] / "docs"


def test_the_committed_schema_is_the_one_generated_now() -> None:
    committed = (DOCS / "desk.schema.json").read_text()
    assert committed == schema_text(), "run: carteiro desk schema > docs/desk.schema.json"


def test_the_committed_page_is_the_one_generated_now() -> None:
    assert (DOCS / "desk.md").read_text() == page_text(), "run: carteiro desk schema --page > docs/desk.md"


def parts() -> dict[str, dict[str, Any]]:
    schema = desk_schema()
    return {"Desk": schema, **schema["$defs"]}


def test_a_title_is_the_name_of_the_setting_in_otrs_and_nothing_else() -> None:
    account = parts()["Account"]["properties"]
    assert account["max_size"]["title"] == "PostMasterMaxEmailSize"
    assert parts()["Ticket"]["properties"]["hook"]["title"] == "Ticket::Hook"
    assert "title" not in account["start_from"]
    assert "title" not in parts()["Account"]


def test_every_setting_has_a_sentence_and_unknown_keys_are_refused() -> None:
    for name, part in parts().items():
        assert part["additionalProperties"] is False, name
        for key, info in part["properties"].items():
            assert info["description"].endswith("."), f"{name}.{key}"


def test_defaults_are_written_as_an_administrator_writes_them() -> None:
    account = parts()["Account"]["properties"]
    assert (account["interval"]["default"], account["max_size"]["default"]) == ("10m", "32MiB")


def test_the_page_has_a_section_for_every_part_of_the_desk() -> None:
    page = page_text()
    for key in Desk.model_fields:
        assert f"| `{key}` |" in page
    for section in ("`ticket`", "`queues.NAME`", "`accounts.NAME`", "`outbound.NAME`", "`agents.NAME`"):
        assert f"\n## {section}\n" in page
