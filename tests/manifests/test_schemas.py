"""Every rendered object against the strict schema of its kind, and what a slip of the pen in it would do."""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.contract.manifest_rules import Object
from tests.manifests.rendering import TARGETS, everything, render
from tests.manifests.schemas import MINORS, NotHere, Schema, complaints, schema_of

# Maps with keys of our own choice: no schema can know them
FREE = {"labels", "annotations", "matchLabels", "data", "stringData", "config", "limits", "requests", "parameters"}
FREE |= {"selector"}  # of a Service; those of workloads hold matchLabels
CUSTOM = {"keda.sh", "monitoring.coreos.com", "kafka.strimzi.io", "postgresql.cnpg.io", "external-secrets.io"}


@pytest.fixture(params=MINORS)
def minor(request: pytest.FixtureRequest) -> str:
    """A version of Kubernetes."""
    return str(request.param)


def schema(item: Object, minor: str) -> Schema:
    try:
        return schema_of(item, minor)
    except NotHere as reason:
        pytest.skip(str(reason))


@everything
def test_every_object_fits_the_strict_schema_of_its_kind(target: Path, minor: str) -> None:
    wrong = {
        f"{item['kind']} {item['metadata']['name']}": found
        for item in render(target)
        if (found := complaints(item, schema(item, minor)))
    }
    assert wrong == {}


@cache
def one_of_each_kind() -> dict[str, list[Object]]:
    """The kinds we ship, each with the objects that show it (the largest first is enough)."""
    found: dict[str, list[Object]] = {}
    for target in TARGETS:
        for item in render(target):
            found.setdefault(f"{item['apiVersion']}/{item['kind']}", []).append(item)
    return {kind: sorted(items, key=lambda item: len(str(item)))[-1:] for kind, items in found.items()}


def fields(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every field that a schema knows by its name."""
    if isinstance(value, list):
        for position, part in enumerate(value):
            yield from fields(part, (*way, position))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield (*way, key)
            words_of_a_scaler = key == "metadata" and "triggers" in way
            chosen = key in FREE and not (isinstance(part, dict) and "matchLabels" in part)
            if not chosen and not words_of_a_scaler:
                yield from fields(part, (*way, key))


def misspelt(item: Object, way: tuple[str | int, ...]) -> Object:
    changed = copy.deepcopy(item)
    inner: Any = changed
    for step in way[:-1]:
        inner = inner[step]
    inner[f"{way[-1]}s"] = inner.pop(way[-1])
    return changed


@pytest.mark.parametrize("kind", sorted(one_of_each_kind()))
def test_a_misspelt_field_is_found_wherever_it_stands(kind: str) -> None:
    tried, missed = 0, []
    for item in one_of_each_kind()[kind]:
        for way in fields(item):
            if way[0] == "metadata" and kind.split("/", maxsplit=1)[0] in CUSTOM:
                continue  # any object is metadata in the definition of a custom resource
            tried += 1
            if not complaints(misspelt(item, way), schema(item, MINORS[-1])):
                missed.append(".".join(map(str, way)))
    assert tried > 2
    assert missed == []


@pytest.mark.parametrize(
    ("kind", "way", "value"),
    [
        ("keda.sh/v1alpha1/ScaledObject", ("spec", "triggers", 0, "metadata", "lagThreshold"), 500),
        ("apps/v1/StatefulSet", ("spec", "replicas"), "2"),
        ("policy/v1/PodDisruptionBudget", ("spec", "unhealthyPodEvictionPolicy"), 1),
        ("kafka.strimzi.io/v1/KafkaTopic", ("spec", "partitions"), "12"),
        ("monitoring.coreos.com/v1/PodMonitor", ("spec", "podMetricsEndpoints", 0, "interval"), 15),
    ],
)
def test_a_value_of_the_wrong_type_is_found(kind: str, way: tuple[str | int, ...], value: object) -> None:
    item = copy.deepcopy(one_of_each_kind()[kind][0])
    inner: Any = item
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    assert complaints(item, schema(item, MINORS[-1]))


def test_a_kind_without_a_schema_is_an_error() -> None:
    with pytest.raises(KeyError):
        schema_of({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJobb"}, MINORS[-1])
