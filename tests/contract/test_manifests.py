"""The deployment files as they are written; what they render to is judged by `make manifests`."""

import copy
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.cli import SERVICES
from shared.desk.load import load_desk
from shared.desk.secret_files import missing_secrets
from shared.message_ids import load_keys
from shared.settings import Settings
from tests.contract.manifest_rules import (
    WORKLOADS,
    Object,
    broken,
    broken_job,
    broken_operator,
    containers_of,
    named,
    pod_of,
    services,
)

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
KUSTOMIZATIONS = sorted(K8S.rglob("kustomization.yaml"))
WITH_IMAGE = [path for path in KUSTOMIZATIONS if path.parent.name in {"base", "migrate"} or "overlays" in path.parts]
DEV = K8S / "overlays" / "dev"


def documents(path: Path) -> list[Object]:
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


def base() -> list[Object]:
    return [item for name in (*WORKLOADS, "operator") for item in documents(K8S / "base" / f"{name}.yaml")]


def literals(entry: Object) -> dict[str, str]:
    return dict(line.split("=", 1) for line in entry.get("literals", []))


def generated(kustomization: Path, generator: str, name: str) -> Object:
    [found] = [entry for entry in documents(kustomization)[0][generator] if entry["name"] == name]
    return dict(found)


def test_the_base_keeps_every_rule() -> None:
    assert broken(base()) == []
    assert broken_operator(base()) == []


def test_the_migration_job_keeps_the_rules_of_every_pod() -> None:
    [job] = documents(K8S / "migrate" / "job.yaml")
    assert broken_job(job) == []
    assert pod_of(job)["containers"][0]["args"] == ["migrate", "--wait", "--phase", "pre"]
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PreSync"


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(K8S)))
def test_what_a_kustomization_names_exists(path: Path) -> None:
    [kustomization] = documents(path)
    named_files = [*kustomization.get("resources", []), *kustomization.get("components", [])]
    named_files += kustomization.get("configurations", [])
    for entry in kustomization.get("configMapGenerator", []):
        named_files += entry.get("files", [])
    assert named_files or kustomization["patches"]
    assert [name for name in named_files if not (path.parent / name).exists()] == []


@pytest.mark.parametrize("path", WITH_IMAGE, ids=lambda path: str(path.parent.relative_to(K8S)))
def test_the_image_has_one_name_and_a_tag(path: Path) -> None:
    [image] = documents(path)[0]["images"]
    assert image["name"] == "carteiro"
    assert image["newTag"] != "latest"


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(K8S)))
def test_no_file_beside_a_kustomization_stands_unused(path: Path) -> None:
    [kustomization] = documents(path)
    used = {"kustomization.yaml", *kustomization.get("resources", []), *kustomization.get("configurations", [])}
    if kustomization["kind"] == "Component":
        used |= {"README.md"}
    for entry in kustomization.get("configMapGenerator", []):
        used |= set(entry.get("files", []))
    assert {file.name for file in path.parent.iterdir() if file.is_file()} - used == set()


@pytest.mark.parametrize("folder", ["base", "migrate"])
def test_the_release_names_its_own_version(folder: str) -> None:
    [image] = documents(K8S / folder / "kustomization.yaml")[0]["images"]
    assert image["newTag"] == version("carteiro")


def test_every_container_takes_the_image_by_its_bare_name() -> None:
    everything = [*services(base()).values(), *documents(K8S / "migrate" / "job.yaml")]
    images = {container["image"] for workload in everything for container in containers_of(workload)}
    assert images == {"carteiro"}


def test_every_variable_is_a_setting_and_the_settings_are_valid() -> None:
    variables = literals(generated(K8S / "base/kustomization.yaml", "configMapGenerator", "carteiro-env"))
    variables |= literals(generated(DEV / "kustomization.yaml", "configMapGenerator", "carteiro-env"))
    settings = {name.removeprefix("CARTEIRO_").lower(): value for name, value in variables.items()}
    assert set(settings) <= set(Settings.model_fields)
    read = Settings.model_validate(settings)
    assert read.kafka_replicas == 1
    assert read.objects.startswith("s3://"), "pods share no file://"


def test_the_mounts_stand_where_the_settings_look() -> None:
    folder, secrets = Settings.model_fields["desk"].default.parent, Settings.model_fields["secrets"].default
    for workload in services(base()).values():
        mounts = {
            mount["name"]: mount["mountPath"]
            for container in pod_of(workload)["containers"]
            for mount in container["volumeMounts"]
        }
        assert mounts == {"scratch": "/scratch", "desk": str(folder), "credentials": str(secrets)}


def test_no_secret_but_the_object_stores_comes_by_the_environment() -> None:
    for workload in services(base()).values():
        sources = [source for container in containers_of(workload) for source in container.get("envFrom", [])]
        assert {source["secretRef"]["name"] for source in sources if "secretRef" in source} == {"carteiro-objects"}
        single = [variable for container in containers_of(workload) for variable in container.get("env", [])]
        assert [variable for variable in single if "secretKeyRef" in variable.get("valueFrom", {})] == []


def test_each_pod_is_given_the_secrets_it_has_a_use_for_and_its_own_log_in() -> None:
    own = {
        name: {"secret": {"name": "carteiro-postgres", "items": [{"key": name, "path": "postgres"}]}}
        for name in (*SERVICES, "operator")
    }
    desks = {"secret": {"name": "carteiro-credentials"}}
    keys = {
        "secret": {"name": "carteiro-credentials", "items": [{"key": "message_id_keys", "path": "message_id_keys"}]}
    }
    found = {}
    for name, workload in services(base()).items():
        [volume] = [volume for volume in pod_of(workload)["volumes"] if volume["name"] == "credentials"]
        assert volume["projected"]["defaultMode"] == 0o440, "files of the group only"
        found[name] = volume["projected"]["sources"]
    assert found == {
        "fetcher": [desks, own["fetcher"]],
        "dispatcher": [keys],  # no database
        "ticketing": [own["ticketing"]],
        "mailer": [desks, own["mailer"]],
        "api": [keys, own["operator"]],  # it does what the operator's commands do
    }


def test_the_base_watches_no_mailbox() -> None:
    assert load_desk(K8S / "base" / "desk.yaml").desk.accounts == {}


def test_the_development_desk_can_be_used_with_the_development_secrets(tmp_path: Path) -> None:
    for name, content in literals(
        generated(DEV / "kustomization.yaml", "secretGenerator", "carteiro-credentials")
    ).items():
        (tmp_path / name).write_text(content)
    desk = load_desk(DEV / "desk.yaml").desk
    assert desk.accounts
    assert list(missing_secrets(desk, tmp_path)) == []
    logins = literals(generated(DEV / "kustomization.yaml", "secretGenerator", "carteiro-postgres"))
    assert set(logins) == {"fetcher", "ticketing", "mailer", "operator"}
    assert load_keys((tmp_path / "message_id_keys").read_text())


def _set(keys: str, value: Any) -> Callable[[Object], None]:
    *way, last = (int(step) if step.isdecimal() else step for step in keys.split("."))

    def change(workload: Object) -> None:
        inner: Any = workload
        for step in way:
            inner = inner[step]
        inner[last] = value

    return change


POD = "spec.template.spec"
MAIN = f"{POD}.containers.0"
MISTAKES = {
    "runs as root": (_set(f"{POD}.securityContext.runAsNonRoot", False), "pod's securityContext"),
    "init container unrestricted": (_set(f"{POD}.initContainers.0.securityContext", {}), "wait-schema: the security"),
    "CPU limit": (_set(f"{MAIN}.resources.limits", {"memory": "256Mi", "cpu": "1"}), "no CPU limit"),
    "no memory limit": (_set(f"{MAIN}.resources.limits", {}), "a memory limit"),
    "token mounted": (_set(f"{POD}.automountServiceAccountToken", True), "a token"),
    "service links": (_set(f"{POD}.enableServiceLinks", True), "service links"),
    "readiness asks liveness": (_set(f"{MAIN}.readinessProbe.httpGet.path", "/livez"), "readinessProbe asks"),
    "impatient probe": (_set(f"{MAIN}.readinessProbe.timeoutSeconds", 1), "gives up before"),
    "misspelt field": (_set(f"{MAIN}.livenessProbe.periodSecond", 10), "unknown field periodSecond"),
    "short grace": (_set(f"{POD}.terminationGracePeriodSeconds", 50), "grace period is shorter"),
    "scratch on disk": (_set(f"{POD}.volumes.0.emptyDir", {"sizeLimit": "64Mi"}), "in memory"),
    "scratch as large as the limit": (_set(f"{POD}.volumes.0.emptyDir.sizeLimit", "320Mi"), "more than half"),
    "volume nobody mounts": (_set(f"{MAIN}.volumeMounts.1.name", "scratch"), "volumes and mounts differ"),
    "writable secrets": (_set(f"{MAIN}.volumeMounts.2.readOnly", False), "mounted writable"),
    "ordered start": (_set("spec.podManagementPolicy", "OrderedReady"), "one after the other"),
    "no instance": (_set(f"{MAIN}.env", []), "CARTEIRO_INSTANCE"),
    "another service": (_set(f"{MAIN}.args", ["run", "all"]), "one container runs mailer"),
    "no wait for the schema": (_set(f"{POD}.initContainers", []), "wait for the schema"),
    "selector misses": (_set("spec.selector.matchLabels", {"app": "mailer"}), "the selector does not find"),
    "foreign account": (_set(f"{POD}.serviceAccountName", "default"), "no ServiceAccount of its own"),
    "no headless Service": (_set("spec.serviceName", "smtp"), "no headless Service"),
    "one zone is full": (
        _set(f"{POD}.topologySpreadConstraints.0.whenUnsatisfiable", "DoNotSchedule"),
        "spread over zones",
    ),
    "pods nobody budgets": (
        _set("spec.template.metadata.labels", {"app.kubernetes.io/name": "x"}),
        "PodDisruptionBudget does not find",
    ),
}


@pytest.mark.parametrize(("change", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found(change: Callable[[Object], None], complaint: str) -> None:
    objects = copy.deepcopy(base())
    change(services(objects)["mailer"])
    assert [line for line in broken(objects) if line.startswith("mailer: ") and complaint in line]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("minAvailable", 2, "unknown fields ['minAvailable']"),
        ("unhealthyPodEvictionPolicy", "IfHealthyBudget", "no PodDisruptionBudget that lets one pod go"),
        ("maxUnavailable", 0, "no PodDisruptionBudget that lets one pod go"),
    ],
)
def test_a_budget_that_blocks_a_drain_is_found(field: str, value: object, complaint: str) -> None:
    objects = copy.deepcopy(base())
    named(objects, "PodDisruptionBudget")["mailer"]["spec"][field] = value
    assert [line for line in broken(objects) if complaint in line]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (f"{POD}.volumes.2.projected.sources", [{"secret": {"name": "carteiro-postgres"}}], "misses its secrets"),
        (f"{POD}.volumes.1", {"name": "desk", "emptyDir": {}}, "misses the desk"),
        (f"{MAIN}.envFrom", [], "misses the addresses"),
        (f"{MAIN}.securityContext", {}, "not the restricted one"),
    ],
)
def test_an_operator_without_what_the_commands_need_is_found(path: str, value: object, complaint: str) -> None:
    objects = copy.deepcopy(base())
    _set(path, value)(named(objects, "Deployment")["operator"])
    assert [line for line in broken_operator(objects) if complaint in line]


def test_a_surge_is_found() -> None:
    objects = copy.deepcopy(base())
    services(objects)["fetcher"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 1
    assert broken(objects) == ["fetcher: a roll-out takes one pod away before it adds one"]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (f"{MAIN}.ports", [{"name": "http", "containerPort": 8080}], "api: ports are"),
        (f"{MAIN}.lifecycle", {}, "api: lifecycle is"),
        (f"{MAIN}.readinessProbe.httpGet.port", "api", "api: readinessProbe asks"),
    ],
)
def test_an_api_that_nobody_reaches_or_that_drops_requests_is_found(path: str, value: object, complaint: str) -> None:
    objects = copy.deepcopy(base())
    _set(path, value)(services(objects)["api"])
    assert [line for line in broken(objects) if complaint in line]


def test_a_service_that_shows_more_than_the_api_is_found() -> None:
    objects = copy.deepcopy(base())
    named(objects, "Service")["api"]["spec"]["ports"][0]["targetPort"] = "http"
    assert [line for line in broken(objects) if "no Service that finds the pods' port of the API" in line]


@pytest.mark.parametrize("kind", ["ServiceAccount", "PodDisruptionBudget", "Service", "StatefulSet"])
def test_a_missing_object_is_found(kind: str) -> None:
    gone = named(base(), kind)["mailer"]
    assert broken([item for item in base() if item != gone]) != []
