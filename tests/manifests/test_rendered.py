"""The deployment as it is rendered, judged: rules of every pod, policies of the set, and planted mistakes."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.cli import SERVICES
from shared.settings import Settings
from shared.topics import BY_NAME, GROUPS
from tests.contract.manifest_policies import breaches, wanted_secrets, workloads
from tests.contract.manifest_rules import (
    Object,
    broken,
    broken_job,
    broken_operator,
    containers_of,
    named,
    pod_of,
    services,
)
from tests.manifests.rendering import (
    K8S,
    MIGRATIONS,
    everything,
    installations,
    migrations,
    overlays,
    render,
)


def environment(objects: tuple[Object, ...]) -> dict[str, str]:
    [env] = [item for name, item in named(objects, "ConfigMap").items() if name.startswith("carteiro-env-")]
    return dict(env["data"])


@overlays
def test_what_is_rendered_keeps_every_rule(target: Path) -> None:
    assert broken(render(target)) == []
    assert broken_operator(render(target)) == []


@installations
def test_what_is_rendered_keeps_every_policy(target: Path) -> None:
    assert breaches(render(target)) == []


@migrations
def test_the_rendered_migration_is_one_job_that_keeps_the_rules(target: Path) -> None:
    [job] = render(target)
    assert job["kind"] == "Job"
    assert broken_job(job) == []
    [credentials] = [v["secret"] for v in pod_of(job)["volumes"] if "secret" in v]
    assert credentials == {"secretName": "carteiro-migration", "defaultMode": 0o440}


@migrations
def test_each_phase_of_a_migration_has_its_job_and_its_place(target: Path) -> None:
    [job] = render(target)
    phase = "post" if target.name.endswith("post") else "pre"
    assert job["metadata"]["name"] == {"pre": "migrate", "post": "migrate-post"}[phase]
    assert pod_of(job)["containers"][0]["args"] == ["migrate", "--wait", "--phase", phase]
    hook = job["metadata"]["annotations"]["argocd.argoproj.io/hook"]
    assert hook == {"pre": "PreSync", "post": "PostSync"}[phase]


@everything
def test_every_namespaced_object_names_its_namespace(target: Path) -> None:
    namespaces = {item["metadata"].get("namespace", "") for item in render(target) if item["kind"] != "Namespace"}
    assert len(namespaces) == 1
    assert "" not in namespaces


@overlays
def test_the_namespace_enforces_what_the_pods_keep(target: Path) -> None:
    objects = render(target)
    [(name, namespace)] = named(objects, "Namespace").items()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {item["metadata"]["namespace"] for item in objects if item["kind"] != "Namespace"} == {name}


@installations
def test_one_image_with_one_tag(target: Path) -> None:
    images = {container["image"] for workload in workloads(render(target)) for container in containers_of(workload)}
    assert len(images) == 1
    assert re.fullmatch(r"(.*/)?carteiro(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})", images.pop())


@installations
def test_every_object_and_pod_carries_the_label_that_is_scraped(target: Path) -> None:
    objects = render(target)
    part: Any = {"app.kubernetes.io/part-of": "carteiro"}
    for workload in workloads(objects):
        assert part.items() <= workload["metadata"]["labels"].items()
        assert part.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
        assert not part.items() <= workload["spec"].get("selector", {}).get("matchLabels", {}).items()


@overlays
def test_the_migration_finds_its_secret(target: Path) -> None:
    objects = render(target)
    brought = {item["spec"]["target"]["name"] for item in named(objects, "ExternalSecret").values()}
    for migration in MIGRATIONS:
        for job in render(migration):
            assert wanted_secrets(job) <= brought | set(named(objects, "Secret"))


@overlays
def test_a_changed_setting_is_a_rollout_and_a_changed_desk_is_not(target: Path) -> None:
    names = set(named(render(target), "ConfigMap"))
    assert "carteiro-desk" in names
    [env] = names - {"carteiro-desk", "carteiro-dashboards"}
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
        assert 1 <= found[service]["spec"].get("replicas", 1) <= BY_NAME[topic].partitions


def test_with_a_prefix_the_scalers_still_point_at_their_pods() -> None:
    scalers = named(render(K8S / "tests" / "all-prefixed"), "ScaledObject").values()
    targets = {item["spec"]["scaleTargetRef"]["name"] for item in scalers}
    assert targets == {"acme-dispatcher", "acme-ticketing", "acme-mailer"}


def scaler(objects: list[Object]) -> Any:
    return named(objects, "ScaledObject")["mailer"]["spec"]


def policy(objects: list[Object], name: str) -> Any:
    return named(objects, "NetworkPolicy")[f"carteiro-{name}"]


def login(objects: list[Object], name: str) -> Any:
    [found] = [
        r for r in named(objects, "Cluster")["carteiro-postgres"]["spec"]["managed"]["roles"] if r["name"] == name
    ]
    return found


MISTAKES: dict[str, tuple[Callable[[list[Object]], object], str]] = {
    "no namespace": (lambda o: policy(o, "default-deny")["metadata"].pop("namespace"), "instead of one namespace"),
    "another namespace": (lambda o: policy(o, "dns")["metadata"].update(namespace="default"), "instead of one namesp"),
    "a desk nobody made": (lambda o: o.remove(named(o, "ConfigMap")["carteiro-desk"]), "no ConfigMap carteiro-desk"),
    "a secret nobody brings": (
        lambda o: o.remove(named(o, "ExternalSecret")["carteiro-postgres"]),
        "mailer: no Secret carteiro-postgres",
    ),
    "replicas beside a scaler": (lambda o: services(o)["mailer"]["spec"].update(replicas=2), "by the scaler alone"),
    "neither replicas nor scaler": (lambda o: o.remove(named(o, "ScaledObject")["mailer"]), "where there is none"),
    "scaler of nothing": (lambda o: scaler(o)["scaleTargetRef"].update(name="smtp"), "points at nothing"),
    "scaler of a Deployment": (lambda o: scaler(o)["scaleTargetRef"].update(kind="Deployment"), "points at nothing"),
    "another group": (lambda o: scaler(o)["triggers"][0]["metadata"].update(consumerGroup="mailer"), "group and topic"),
    "more pods than partitions": (lambda o: scaler(o).update(maxReplicaCount=7), "more pods than ticket.events.v1"),
    "a fallback above": (lambda o: scaler(o)["fallback"].update(replicas=8), "more pods than ticket.events.v1"),
    "a number as threshold": (lambda o: scaler(o)["triggers"][0]["metadata"].update(lagThreshold=500), "strings"),
    "KEDA's own threshold": (lambda o: scaler(o)["triggers"][0]["metadata"].update(lagThreshold="10"), "a breath"),
    "from the latest": (lambda o: scaler(o)["triggers"][0]["metadata"].pop("offsetResetPolicy"), "earliest"),
    "a stuck partition scales": (
        lambda o: scaler(o)["triggers"][0]["metadata"].pop("excludePersistentLag"),
        "excludePersistentLag",
    ),
    "nothing is closed": (lambda o: o.remove(policy(o, "default-deny")), "closes both directions"),
    "out is open": (lambda o: policy(o, "default-deny")["spec"].update(policyTypes=["Ingress"]), "closes both"),
    "a door for everything": (lambda o: policy(o, "mailer")["spec"].update(egress=[{}]), "opens everything"),
    "no way to the relay": (lambda o: policy(o, "mailer")["spec"]["egress"].pop(2), "mailer: ports out [25, 465, 587]"),
    "no names": (lambda o: o.remove(policy(o, "dns")), "ports out [53]"),
    "a database for the dispatcher": (
        lambda o: policy(o, "dispatcher")["spec"]["egress"].append({"ports": [{"port": 5432}]}),
        "dispatcher: ports out [5432]",
    ),
    "the migration is locked out": (lambda o: o.remove(policy(o, "migrate")), "migrate: ports out [5432]"),
    "nobody may scrape": (lambda o: o.remove(policy(o, "metrics")), "nobody may scrape"),
    "a monitor of others": (
        lambda o: named(o, "PodMonitor")["carteiro"]["spec"]["selector"]["matchLabels"].update(app="carteiro"),
        "not found by the PodMonitor",
    ),
    "another port": (
        lambda o: named(o, "PodMonitor")["carteiro"]["spec"]["podMetricsEndpoints"][0].update(port="metrics"),
        "not found by the PodMonitor",
    ),
    "a log-in in every role": (
        lambda o: login(o, "mailer").update(inRoles=["carteiro_mailer", "carteiro_fetcher"]),
        "mailer: no log-in in ['carteiro_mailer']",
    ),
    "a superuser": (lambda o: login(o, "ticketing").update(superuser=True), "ticketing: an ordinary log-in"),
    "a role nobody made": (
        lambda o: login(o, "carteiro_fetcher").update(name="fetchers"),
        "carteiro_fetcher is missing",
    ),
}


@pytest.mark.parametrize(("change", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found(change: Callable[[list[Object]], object], complaint: str) -> None:
    objects = copy.deepcopy(list(render(K8S / "overlays" / "prod")))
    change(objects)
    assert [line for line in breaches(objects) if complaint in line], breaches(objects)


def test_each_service_logs_in_to_kafka_as_itself() -> None:
    """By index: a volume more in the base would give the password to another one."""
    for item in render(K8S / "tests" / "kafka-auth"):
        if item["kind"] not in {"Deployment", "StatefulSet"} or item["metadata"]["name"] == "api":  # asks no Kafka
            continue
        name, pod = item["metadata"]["name"], item["spec"]["template"]["spec"]
        told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert told["CARTEIRO_KAFKA_USER"] == f"carteiro-{name}"
        (volume,) = [each for each in pod["volumes"] if each["name"] == "credentials"]
        (secret,) = [
            each["secret"] for each in volume["projected"]["sources"] if each["secret"]["name"] == "carteiro-kafka"
        ]
        assert {each["key"]: each["path"] for each in secret["items"]} == {
            name: "kafka_password",
            "ca.crt": "kafka_ca.pem",
        }
        assert not [each for init in pod.get("initContainers", []) for each in init.get("env", [])]
