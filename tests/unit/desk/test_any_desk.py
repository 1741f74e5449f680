"""Whatever an administrator writes, the answer is a desk or a list of findings, never another exception."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.desk.findings import DeskError
from shared.desk.load import load_desk
from shared.desk.source import parse

EXAMPLE = Path(__file__).parents[3] / "examples" / "desk.yaml"
DATA = parse(EXAMPLE.read_bytes()).data
TEXT = EXAMPLE.with_name("recebido.txt").read_text()

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=8) | st.sampled_from(["suporte", "ana", "caixa", "pop3", "move", "by_to", "10m", "a@b"])
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def places(data: Any, loc: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [loc, *(place for key, value in inside for place in places(value, (*loc, key)))]


def changed(loc: tuple[Any, ...], value: Any) -> Any:
    if not loc:
        return value
    data = deepcopy(DATA)
    here = data
    for step in loc[:-1]:
        here = here[step]
    here[loc[-1]] = value
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("desk")
    (path / "recebido.txt").write_text(TEXT)
    return path


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(loc=st.sampled_from(places(DATA)), value=anything)
def test_one_changed_value_is_a_desk_or_findings_with_lines(folder: Path, loc: tuple[Any, ...], value: Any) -> None:
    path = folder / "desk.yaml"
    path.write_text(yaml.safe_dump(changed(loc, value), allow_unicode=True, sort_keys=False))
    lines = path.read_bytes().count(b"\n") + 1
    try:
        loaded = load_desk(path)
    except DeskError as error:
        found = error.findings
        assert found  # a desk is as good an outcome
        assert all(finding.line is not None and 1 <= finding.line <= lines for finding in found)
        assert all("\n" not in str(finding) for finding in found)
    else:
        assert set(loaded.texts) == {each.text for each in loaded.desk.auto_responses.values() if each.text}
