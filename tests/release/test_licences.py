"""The bill of materials of a release, and that we may ship what it lists under the GPL."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Compatible with the GPL, version 3
ALLOWED = {
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Apache-2.0",
    "PSF-2.0",
    "MPL-2.0",
    "0BSD",
    "MIT-0",
    "Unlicense",
    "Zlib",
}
ALLOWED |= {"GPL-3.0-only", "GPL-3.0-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"}
# Packages whose metadata name no SPDX licence: what their licence file says
READ_BY_HAND = {
    "async-timeout": "Apache-2.0",
    "google-re2": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "rich-click": "MIT",
}


def licences(component: dict[str, Any]) -> set[str]:
    """SPDX identifiers a component stands under; of `A OR B` the allowed ones are enough."""
    if component["name"] in READ_BY_HAND:
        return {READ_BY_HAND[component["name"]]}
    found = set()
    for entry in component.get("licenses", []):
        said = entry.get("expression") or entry["license"].get("id") or ""
        choices = [set(choice.strip(" ()").split(" AND ")) for choice in said.split(" OR ")]
        found |= next((choice for choice in choices if choice <= ALLOWED), set.union(*choices))
    return found - {""}


def refused(components: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Components with a licence that is not allowed, or with none."""
    wrong = {item["name"]: licences(item) - ALLOWED for item in components if licences(item) - ALLOWED}
    return wrong | {item["name"]: {"no licence"} for item in components if not licences(item)}


@pytest.fixture(scope="module")
def bill(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("sbom") / "bill.json"
    program = ROOT / ".venv" / "bin" / "cyclonedx-py"
    command = [str(program), "environment", str(alone), "--pyproject", str(ROOT / "pyproject.toml"), "--of", "JSON"]
    subprocess.run([*command, "-o", str(path)], check=True, capture_output=True)
    return dict(json.loads(path.read_text()))


def test_the_bill_lists_what_the_lock_names(bill: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for item in bill["components"]:
        name = re.sub(r"[-_.]+", "-", item["name"]).lower()  # PEP 503
        assert f"{name}=={item['version']} " in lock
    assert {"faststream", "aiokafka", "asyncpg"} <= {item["name"] for item in bill["components"]}
    assert bill["metadata"]["component"]["name"] == "carteiro"


def test_every_licence_may_be_shipped_with_ours(bill: dict[str, Any]) -> None:
    assert refused(bill["components"]) == {}


@pytest.mark.parametrize(
    ("licence", "wrong"),
    [
        ([{"license": {"id": "MIT"}}], set()),
        ([{"expression": "Proprietary OR MIT"}], set()),
        ([{"expression": "GPL-2.0-only"}], {"GPL-2.0-only"}),
        ([{"expression": "MIT AND SSPL-1.0"}], {"SSPL-1.0"}),
        ([{"license": {"name": "ask us"}}], {"no licence"}),
        ([], {"no licence"}),
    ],
)
def test_a_licence_that_may_not_is_found(licence: list[Any], wrong: set[str]) -> None:
    assert refused([{"name": "x", "licenses": licence}]) == ({"x": wrong} if wrong else {})
