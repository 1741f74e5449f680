"""A real API server takes every overlay as it is: strict fields, no warning, and over the last release."""

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.manifest_rules import Object, named
from tests.manifests.cluster import Cluster, definitions, running
from tests.manifests.rendering import K8S, KAFKA, MIGRATIONS, OVERLAYS, TARGETS, name_of, overlays, render, rendered
from tests.manifests.test_schemas import CUSTOM

ROOT = K8S.parents[1]
PROD = K8S / "overlays" / "prod"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    built = subprocess.run([ROOT / "tools" / "kube.sh"], check=False, stdout=subprocess.PIPE, text=True)
    if built.returncode == 69:
        pytest.skip("no kube-apiserver: tools/kube.sh says why")
    assert built.returncode == 0
    with running(Path(built.stdout.strip()), tmp_path_factory.mktemp("kube")) as made:
        custom = [item for target in TARGETS for item in render(target) if item["apiVersion"].split("/")[0] in CUSTOM]
        taken = made.apply(definitions(custom))
        assert taken.returncode == 0, taken.stderr
        established = made.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=30s")
        assert established.returncode == 0, established.stderr
        yield made


def in_namespace(objects: tuple[Object, ...], name: str) -> str:
    """The same objects elsewhere, and their namespace with them: tests must not meet each other's."""
    moved = copy.deepcopy([item for item in objects if item["kind"] != "Namespace"])
    for item in moved:
        item["metadata"]["namespace"] = name
    [namespace] = [item for item in render(PROD) if item["kind"] == "Namespace"]
    namespace = copy.deepcopy(namespace)
    namespace["metadata"]["name"] = name
    return yaml.safe_dump_all([namespace, *moved])


def last_release(target: Path, folder: Path) -> str:
    """What the newest tag rendered; empty where nothing was released or the overlay is new."""
    git = ["git", "-C", str(ROOT)]
    tags = subprocess.run(
        [*git, "tag", "--list", "v*", "--sort=-v:refname"], check=False, capture_output=True, text=True
    )
    if not tags.stdout.split():
        return ""
    archive = subprocess.run(
        [*git, "archive", tags.stdout.split()[0], "deploy"], check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    old = folder / target.relative_to(ROOT)
    return rendered(old) if old.exists() else ""


@overlays
def test_an_overlay_is_taken_over_the_last_release_and_again(cluster: Cluster, target: Path, tmp_path: Path) -> None:
    for text in (last_release(target, tmp_path), rendered(target), rendered(target)):
        if text:
            taken = cluster.apply(text)
            assert (taken.returncode, taken.stderr) == (0, "")


@pytest.mark.parametrize("target", [t for t in TARGETS if t not in OVERLAYS], ids=name_of)
def test_every_other_rendering_is_taken(cluster: Cluster, target: Path) -> None:
    taken = cluster.apply(in_namespace(render(target), name_of(target).replace("/", "-")))
    assert (taken.returncode, taken.stderr) == (0, "")


def test_a_migration_is_taken_anew_once_the_last_is_gone(cluster: Cluster) -> None:
    """Each phase in its overlays; those of another registry among them."""
    for job in MIGRATIONS:
        [name] = named(render(job), "Job")
        for _ in range(2):
            cluster.kubectl("delete", "job", name, "-n", "carteiro", "--ignore-not-found", "--cascade=background")
            taken = cluster.apply(rendered(job))
            assert (taken.returncode, taken.stderr) == (0, "")


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Cluster:
    """Production stands."""
    assert cluster.apply(rendered(PROD)).returncode == 0
    return cluster


def changed(kind: str, way: str, value: Any) -> str:
    """The mailer's object of this kind with one field set."""
    item = copy.deepcopy(named(render(PROD), kind)["mailer"])
    *steps, last = (int(step) if step.isdecimal() else step for step in way.split("."))
    inner: Any = item
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return yaml.safe_dump(item)


@pytest.mark.parametrize(
    ("kind", "way", "value", "said"),
    [
        ("StatefulSet", "spec.serviceName", "smtp", "Forbidden"),  # immutable: a release must not change it
        ("StatefulSet", "spec.podManagementPolicy", "OrderedReady", "Forbidden"),
        ("StatefulSet", "spec.template.spec.containers.0.securityContext", {}, "violate PodSecurity"),
        (
            "StatefulSet",
            "spec.template.spec.containers.0.livenessProbe.periodSecond",
            5,
            "field not declared in schema",
        ),
        ("StatefulSet", "spec.template.spec.containers.0.ports.0.containerPort", 808080, "must be between 1 and 65535"),
        ("PodDisruptionBudget", "spec.minAvailable", 1, "minAvailable and maxUnavailable cannot be both set"),
        ("Service", "spec.ports.0.protocol", "HTTP", "Unsupported value"),
    ],
)
def test_what_a_cluster_would_refuse_is_refused(installed: Cluster, kind: str, way: str, value: Any, said: str) -> None:
    refused = installed.apply(changed(kind, way, value))
    assert refused.returncode != 0
    assert said in refused.stderr


def test_kafka_resources_stand_in_the_brokers_namespace() -> None:
    assert {item["metadata"]["namespace"] for item in render(KAFKA)} == {"kafka"}
