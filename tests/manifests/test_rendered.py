"""The deployment as `kubectl kustomize` renders it: what a cluster would be given."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.cli import SERVICES
from shared.settings import Settings
from shared.topics import BY_NAME, GROUPS
from tests.contract.manifest_rules import (
    Object,
    broken,
    broken_job,
    containers_of,
    named,
    pod_of,
    services,
)

K8S = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
OVERLAYS = sorted(path for path in (K8S / "overlays").iterdir() if path.is_dir())
MIGRATIONS = [K8S / "migrate", *sorted(K8S.glob("overlays/*/migrate"))]
KINDS = {
    *(("v1", kind) for kind in ("Namespace", "ServiceAccount", "Service", "ConfigMap", "Secret")),
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet")),
    ("policy/v1", "PodDisruptionBudget"),
    ("batch/v1", "Job"),
}

overlays = pytest.mark.parametrize("target", OVERLAYS, ids=lambda path: path.name)
migrations = pytest.mark.parametrize("target", MIGRATIONS, ids=lambda path: str(path.relative_to(K8S)))
everything = pytest.mark.parametrize("target", [*OVERLAYS, *MIGRATIONS], ids=lambda path: str(path.relative_to(K8S)))


@cache
def render(target: Path) -> tuple[Object, ...]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.fail("kubectl is not on PATH: install version 1.27 or newer, it renders the manifests", pytrace=False)
    out = subprocess.run([kubectl, "kustomize", str(target)], check=False, capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    return tuple(item for item in yaml.safe_load_all(out.stdout) if item)


def workloads(objects: tuple[Object, ...]) -> list[Object]:
    return [*services(objects).values(), *named(objects, "Job").values()]


def references(workload: Object, kind: str) -> Iterator[str]:
    """Names of the ConfigMaps or Secrets a pod cannot start without."""
    source, volume, name = {
        "ConfigMap": ("configMapRef", "configMap", "name"),
        "Secret": ("secretRef", "secret", "secretName"),
    }[kind]
    for container in containers_of(workload):
        for entry in container.get("envFrom", []):
            if source in entry and not entry[source].get("optional"):
                yield entry[source]["name"]
    for entry in pod_of(workload)["volumes"]:
        if volume in entry:
            yield entry[volume][name]


def environment(objects: tuple[Object, ...]) -> dict[str, str]:
    [env] = [item for name, item in named(objects, "ConfigMap").items() if name.startswith("carteiro-env-")]
    return dict(env["data"])


@overlays
def test_what_is_rendered_keeps_every_rule(target: Path) -> None:
    assert broken(render(target)) == []


@migrations
def test_the_rendered_migration_is_one_job_that_keeps_the_rules(target: Path) -> None:
    [job] = render(target)
    assert job["kind"] == "Job"
    assert broken_job(job) == []
    [credentials] = [v["secret"] for v in pod_of(job)["volumes"] if "secret" in v]
    assert credentials == {"secretName": "carteiro-migration", "defaultMode": 0o440}


@everything
def test_every_kind_is_one_that_the_rules_know(target: Path) -> None:
    assert {(item["apiVersion"], item["kind"]) for item in render(target)} <= KINDS


@everything
def test_every_namespaced_object_names_its_namespace(target: Path) -> None:
    objects = render(target)
    namespaces = {item["metadata"].get("namespace", "") for item in objects if item["kind"] != "Namespace"}
    assert len(namespaces) == 1
    assert "" not in namespaces


@overlays
def test_the_namespace_enforces_what_the_pods_keep(target: Path) -> None:
    objects = render(target)
    [(name, namespace)] = named(objects, "Namespace").items()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {item["metadata"]["namespace"] for item in objects if item["kind"] != "Namespace"} == {name}


@everything
def test_one_image_with_one_tag(target: Path) -> None:
    images = {container["image"] for workload in workloads(render(target)) for container in containers_of(workload)}
    assert len(images) == 1
    assert re.fullmatch(r"(.*/)?carteiro(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})", images.pop())


@everything
def test_every_object_and_pod_carries_the_label_that_is_scraped(target: Path) -> None:
    objects = render(target)
    part: Any = {"app.kubernetes.io/part-of": "carteiro"}
    for workload in workloads(objects):
        assert part.items() <= workload["metadata"]["labels"].items()
        assert part.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
        assert not part.items() <= workload["spec"].get("selector", {}).get("matchLabels", {}).items()


@overlays
def test_every_reference_resolves(target: Path) -> None:
    objects = render(target)
    for workload in workloads(objects):
        assert set(references(workload, "ConfigMap")) <= set(named(objects, "ConfigMap"))
        assert set(references(workload, "Secret")) <= set(named(objects, "Secret"))
    for migration in MIGRATIONS:
        for job in render(migration):
            assert set(references(job, "Secret")) <= set(named(objects, "Secret"))


@overlays
def test_a_changed_setting_is_a_rollout_and_a_changed_desk_is_not(target: Path) -> None:
    names = set(named(render(target), "ConfigMap"))
    assert "carteiro-desk" in names
    [env] = names - {"carteiro-desk"}
    assert re.fullmatch(r"carteiro-env-[a-z0-9]{10}", env)


@overlays
def test_the_settings_of_the_overlay_are_whole_and_valid(target: Path) -> None:
    settings = {name.removeprefix("CARTEIRO_").lower(): value for name, value in environment(render(target)).items()}
    assert {"kafka", "kafka_replicas", "objects"} <= set(settings) <= set(Settings.model_fields)
    assert not Settings.model_validate(settings).objects.startswith("file:"), "pods share no disk"


@overlays
def test_the_overlay_brings_its_own_desk(target: Path) -> None:
    desk = named(render(target), "ConfigMap")["carteiro-desk"]["data"]
    assert yaml.safe_load(desk["desk.yaml"])["accounts"]


@overlays
def test_no_service_has_more_pods_than_its_topic_has_partitions(target: Path) -> None:
    found = services(render(target))
    for service in set(SERVICES) - {"fetcher"}:
        _, topic = GROUPS[service]
        assert 1 <= found[service]["spec"]["replicas"] <= BY_NAME[topic].partitions


@pytest.mark.parametrize("service", SERVICES)
def test_development_runs_one_of_each(service: str) -> None:
    assert services(render(K8S / "overlays" / "dev"))[service]["spec"]["replicas"] == 1


@overlays
def test_secrets_are_files_of_the_group_only(target: Path) -> None:
    for workload in services(render(target)).values():
        [secret] = [volume["secret"] for volume in pod_of(workload)["volumes"] if "secret" in volume]
        assert secret["secretName"] == "carteiro-credentials"
        assert secret["defaultMode"] == 0o440
