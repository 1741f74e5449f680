"""What every object of `deploy/k8s` must fulfil, as pure functions over parsed YAML.

Each function yields one sentence for each breach. `broken` judges a whole set of objects: the plain files of the
base, and what an overlay renders.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ops.cli import SERVICES
from shared import health, process

OPERATOR = "operator"
API = "api"
WORKLOADS = (*SERVICES, API)
Object = dict[str, Any]
Rule = Callable[[Object], Iterator[str]]

_DRAIN_MARGIN = 10
_RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
_HTTP = {"name": "http", "containerPort": 8080}
_API = {"name": API, "containerPort": 8081}
_PRE_STOP = {"preStop": {"sleep": {"seconds": 5}}}
_WAIT_SCHEMA = ["migrate", "--check", "--wait"]

# The API server drops a misspelt field and says nothing: these are the ones in use
_FIELDS = {
    "workload": "replicas selector template strategy serviceName podManagementPolicy backoffLimit",
    "pod": "serviceAccountName automountServiceAccountToken enableServiceLinks terminationGracePeriodSeconds "
    "securityContext topologySpreadConstraints initContainers containers volumes restartPolicy",
    "container": "name image command args ports env envFrom startupProbe livenessProbe readinessProbe lifecycle "
    "resources securityContext volumeMounts",
    "probe": "httpGet periodSeconds timeoutSeconds failureThreshold",
    "mount": "name mountPath readOnly",
    "budget": "maxUnavailable unhealthyPodEvictionPolicy selector",
}


def named(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    """The objects of a kind by name."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def services(objects: Sequence[Object]) -> dict[str, Object]:
    """The workloads that serve: all but the operator's pod."""
    found = {**named(objects, "Deployment"), **named(objects, "StatefulSet")}
    return {name: item for name, item in found.items() if not name.endswith(OPERATOR)}


def pod_of(workload: Object) -> Object:
    pod: Object = workload["spec"]["template"]["spec"]
    return pod


def containers_of(workload: Object) -> list[Object]:
    pod = pod_of(workload)
    return [*pod.get("initContainers", []), *pod["containers"]]


def mebibytes(quantity: str) -> int:
    """`64Mi` -> 64. Raises ValueError for another unit."""
    return int(quantity.removesuffix("Mi"))


def is_restricted(workload: Object) -> Iterator[str]:
    pod = pod_of(workload)
    if pod.get("securityContext") != _RESTRICTED_POD:
        yield "the pod's securityContext is not the restricted one"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the API server is mounted"
    if pod.get("enableServiceLinks") is not False:
        yield "service links put strangers' variables into the environment"
    for container in containers_of(workload):
        if container.get("securityContext") != _RESTRICTED:
            yield f"{container['name']}: the securityContext is not the restricted one"


def has_resources(workload: Object) -> Iterator[str]:
    for container in containers_of(workload):
        resources = container.get("resources", {})
        if set(resources.get("requests", {})) != {"cpu", "memory"}:
            yield f"{container['name']}: requests name cpu and memory"
        if set(resources.get("limits", {})) != {"memory"}:
            yield f"{container['name']}: a memory limit and no CPU limit (throttling breaks heartbeats)"


def has_scratch_space(workload: Object) -> Iterator[str]:
    pod = pod_of(workload)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    scratch = volumes.get("scratch", {}).get("emptyDir", {})
    if scratch.get("medium") != "Memory" or "sizeLimit" not in scratch:
        yield "scratch is an emptyDir in memory with a size limit"
        return
    limit = pod["containers"][0]["resources"]["limits"].get("memory", "0Mi")
    if mebibytes(scratch["sizeLimit"]) * 2 > mebibytes(limit):
        yield "scratch may take more than half of the memory limit"
    mounted = {mount["name"] for container in containers_of(workload) for mount in container["volumeMounts"]}
    if mounted != set(volumes):
        yield f"volumes and mounts differ: {sorted(mounted ^ set(volumes))}"
    for container in containers_of(workload):
        for mount in container["volumeMounts"]:
            if mount["name"] != "scratch" and mount.get("readOnly") is not True:
                yield f"{container['name']}: {mount['name']} is mounted writable"


def has_probes(workload: Object) -> Iterator[str]:
    main = pod_of(workload)["containers"][0]
    ports = [_HTTP, _API] if workload["metadata"]["name"] == API else [_HTTP]
    if main.get("ports") != ports:
        yield f"ports are {ports}"
    for probe, path in _PROBES.items():
        found = main.get(probe, {})
        if found.get("httpGet") != {"path": path, "port": "http"}:
            yield f"{probe} asks {path} on port http"
        elif found.get("timeoutSeconds", 1) <= health._CHECK_SECONDS:
            yield f"{probe} gives up before the answer can come ({health._CHECK_SECONDS} s)"


def stops_in_time(workload: Object) -> Iterator[str]:
    if pod_of(workload).get("terminationGracePeriodSeconds", 30) < process.STOP_SECONDS + _DRAIN_MARGIN:
        yield f"the grace period is shorter than a drain of {process.STOP_SECONDS:.0f} s and a margin"


def leaves_its_service_first(workload: Object) -> Iterator[str]:
    """A pod that a Service balances is still sent requests for a moment after it was told to stop."""
    wanted = _PRE_STOP if workload["metadata"]["name"] == API else None
    if pod_of(workload)["containers"][0].get("lifecycle") != wanted:
        yield f"lifecycle is {wanted}"


def keeps_its_members(workload: Object) -> Iterator[str]:
    """A consumer's static membership, and a roll-out that moves nothing twice."""
    spec = workload["spec"]
    if workload["kind"] == "Deployment":
        if spec.get("strategy", {}).get("rollingUpdate") != {"maxSurge": 0, "maxUnavailable": 1}:
            yield "a roll-out takes one pod away before it adds one"
        return
    if spec.get("podManagementPolicy") != "Parallel":
        yield "pods start one after the other"
    instance = {"name": "CARTEIRO_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    if instance not in pod_of(workload)["containers"][0].get("env", []):
        yield "CARTEIRO_INSTANCE is the pod's name"


def spreads_over_zones(workload: Object) -> Iterator[str]:
    name = workload["metadata"]["name"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    for constraint in pod_of(workload).get("topologySpreadConstraints", [{}]):
        if constraint.get("whenUnsatisfiable") != "ScheduleAnyway":
            yield "pods spread over zones as far as they can, and start where they cannot"
        elif not constraint["labelSelector"]["matchLabels"].items() <= labels.items():
            yield f"the pods of {name} are spread by somebody else's label"


def runs_its_service(workload: Object) -> Iterator[str]:
    name, pod = workload["metadata"]["name"], pod_of(workload)
    if [container.get("args") for container in pod["containers"]] != [["run", name]]:
        yield f"one container runs {name}"
    waits = [container.get("args") for container in pod.get("initContainers", [])]
    if waits != ([] if name == "dispatcher" else [_WAIT_SCHEMA]):
        yield f"init containers {waits}: all but the dispatcher wait for the schema"
    labels = workload["spec"]["template"]["metadata"]["labels"]
    if not workload["spec"]["selector"]["matchLabels"].items() <= labels.items():
        yield "the selector does not find the pods"


def has_known_fields(workload: Object) -> Iterator[str]:
    pod = pod_of(workload)
    checked = [("workload", workload["spec"]), ("pod", pod)]
    for container in containers_of(workload):
        checked.append(("container", container))
        checked += [("probe", container[probe]) for probe in _PROBES if probe in container]
        checked += [("mount", mount) for mount in container["volumeMounts"]]
    for what, item in checked:
        for field in sorted(set(item) - set(_FIELDS[what].split())):
            yield f"{what}: unknown field {field}"


EVERYWHERE: tuple[Rule, ...] = (is_restricted, has_resources, has_scratch_space, has_known_fields)
SERVICE: tuple[Rule, ...] = (
    *EVERYWHERE,
    has_probes,
    stops_in_time,
    leaves_its_service_first,
    keeps_its_members,
    spreads_over_zones,
    runs_its_service,
)


def has_companions(objects: Sequence[Object], workload: Object) -> Iterator[str]:
    """ServiceAccount, PodDisruptionBudget and, of a StatefulSet, the headless Service, each by its name."""
    name, labels = workload["metadata"]["name"], workload["spec"]["template"]["metadata"]["labels"]
    account = named(objects, "ServiceAccount").get(name, {})
    if account.get("automountServiceAccountToken") is not False or pod_of(workload).get("serviceAccountName") != name:
        yield "no ServiceAccount of its own without a token"
    budget = named(objects, "PodDisruptionBudget").get(name, {}).get("spec", {})
    if budget.get("maxUnavailable") != 1 or budget.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "no PodDisruptionBudget that lets one pod go, and those that are not ready"
    elif not budget["selector"]["matchLabels"].items() <= labels.items():
        yield "the PodDisruptionBudget does not find the pods"
    elif unknown := set(budget) - set(_FIELDS["budget"].split()):
        yield f"PodDisruptionBudget: unknown fields {sorted(unknown)}"
    if workload["kind"] == "StatefulSet":
        service = named(objects, "Service").get(workload["spec"].get("serviceName"), {}).get("spec", {})
        if service.get("clusterIP") != "None" or not service["selector"].items() <= labels.items():
            yield "no headless Service that finds the pods"
    if name == API:
        service = named(objects, "Service").get(name, {}).get("spec", {})
        ports = [port["targetPort"] for port in service.get("ports", [])]
        if ports != [_API["name"]] or not service["selector"].items() <= labels.items():
            yield "no Service that finds the pods' port of the API, and no other"


def broken(objects: Sequence[Object]) -> list[str]:
    """Every breach in a set with the four services and the API, `object: sentence`; empty: all is well."""
    found = services(objects)
    breaches = [] if set(found) == set(WORKLOADS) else [f"services: {sorted(found)} instead of {sorted(WORKLOADS)}"]
    for name, workload in sorted(found.items()):
        breaches += [f"{name}: {complaint}" for rule in SERVICE for complaint in rule(workload)]
        breaches += [f"{name}: {complaint}" for complaint in has_companions(objects, workload)]
    return breaches


def broken_operator(objects: Sequence[Object]) -> list[str]:
    """The pod of the operator's commands: harmless, idle, and with everything that they look for."""
    operator = named(objects, "Deployment")[OPERATOR]
    breaches = [complaint for rule in EVERYWHERE for complaint in rule(operator)]
    pod, sees = pod_of(operator), {}
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            sees[source["secret"]["name"]] = source["secret"].get("items")
    if sees != {
        "carteiro-credentials": None,  # message_id_keys, and whatever the desk names
        "carteiro-postgres": [{"key": OPERATOR, "path": "postgres"}],
    }:
        breaches.append(f"a command misses its secrets: {sees}")
    if {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume} != {"carteiro-desk"}:
        breaches.append("a command misses the desk")
    if not any("configMapRef" in source for source in pod["containers"][0].get("envFrom", [])):
        breaches.append("a command misses the addresses")
    if named(objects, "ServiceAccount").get(OPERATOR, {}).get("automountServiceAccountToken") is not False:
        breaches.append("no ServiceAccount of its own without a token")
    return breaches


def broken_job(job: Object) -> list[str]:
    return [f"{job['metadata']['name']}: {complaint}" for rule in EVERYWHERE for complaint in rule(job)]
