"""What a rendered set of objects must fulfil beyond its pods (manifest_rules.py): names that resolve, scalers, doors.

Pure functions over parsed YAML; each yields one sentence for each breach.
"""

from collections.abc import Iterator, Sequence

from shared.migrations import SERVICES as OWNERS
from shared.topics import BY_NAME, GROUPS
from tests.contract.manifest_rules import Object, containers_of, named, pod_of, services

Objects = Sequence[Object]
PART = {"app.kubernetes.io/part-of": "carteiro"}
_KAFKA, _POSTGRES, _MAILBOXES, _SMTP, _WEB = {9092, 9093, 9094}, {5432}, {110, 143, 993, 995}, {25, 465, 587}, {443}
DOORS = {  # ports out, beside DNS
    "fetcher": _KAFKA | _POSTGRES | _MAILBOXES | _WEB,
    "dispatcher": _KAFKA | _WEB,
    "ticketing": _KAFKA | _POSTGRES | _WEB,
    "mailer": _KAFKA | _POSTGRES | _SMTP | _WEB,
    "api": _KAFKA | _POSTGRES | _WEB,
    "operator": _KAFKA | _POSTGRES | _MAILBOXES | _SMTP | _WEB,
    "migrate": _POSTGRES,
}


def has_one_namespace(objects: Objects) -> Iterator[str]:
    """What a component adds is not reached by a namespace that only the base names."""
    found = {item["metadata"].get("namespace", "") for item in objects if item["kind"] != "Namespace"}
    if "" in found or len(found) != 1:
        yield f"objects stand in {sorted(found)} instead of one namespace"


def workloads(objects: Objects) -> list[Object]:
    kinds = ("Deployment", "StatefulSet", "Job")
    return [item for kind in kinds for item in named(objects, kind).values()]


def names_what_exists(objects: Objects) -> Iterator[str]:
    """ConfigMaps of the set; Secrets of the set or brought by an ExternalSecret, where it brings any at all."""
    maps = set(named(objects, "ConfigMap"))
    secrets = set(named(objects, "Secret"))
    secrets |= {item["spec"]["target"]["name"] for item in named(objects, "ExternalSecret").values()}
    for workload in workloads(objects):
        name = workload["metadata"]["name"]
        yield from (f"{name}: no ConfigMap {missing}" for missing in sorted(wanted_maps(workload) - maps))
        if secrets:
            yield from (f"{name}: no Secret {missing}" for missing in sorted(wanted_secrets(workload) - secrets))


def wanted_maps(workload: Object) -> set[str]:
    volumes = {volume["configMap"]["name"] for volume in pod_of(workload)["volumes"] if "configMap" in volume}
    return volumes | set(_from_environment(workload, "configMapRef"))


def wanted_secrets(workload: Object) -> set[str]:
    found = set(_from_environment(workload, "secretRef"))
    for volume in pod_of(workload)["volumes"]:
        if "secret" in volume:
            found.add(volume["secret"]["secretName"])
        found |= {source["secret"]["name"] for source in volume.get("projected", {}).get("sources", [])}
    return found


def _from_environment(workload: Object, kind: str) -> Iterator[str]:
    """What a pod cannot start without."""
    for container in containers_of(workload):
        for source in container.get("envFrom", []):
            if kind in source and not source[kind].get("optional"):
                yield source[kind]["name"]


def scales_what_it_may(objects: Objects) -> Iterator[str]:
    """KEDA: the scaler's target, its group and topic, and who counts the pods."""
    scalers, sets = named(objects, "ScaledObject"), named(objects, "StatefulSet")
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in scalers.values()}
    for name, workload in sets.items():
        if ("replicas" in workload["spec"]) == (name in scaled):
            yield f"{name}: replicas are counted by the scaler alone, or by the manifest where there is none"
    prefix = _settings(objects).get("CARTEIRO_PREFIX", "")
    for name, scaler in scalers.items():
        spec = scaler["spec"]
        target = spec["scaleTargetRef"]
        if target["kind"] != "StatefulSet" or target["name"] not in sets:
            yield f"{name}: the scaler points at nothing"
            continue
        service = target["name"].rpartition("-")[2]
        group, topic = GROUPS[service]
        (trigger,) = spec["triggers"]
        metadata = trigger["metadata"]
        if (metadata["consumerGroup"], metadata["topic"]) != (prefix + group, prefix + topic):
            yield f"{name}: group and topic are not {prefix + group} and {prefix + topic}"
        if max(spec["maxReplicaCount"], spec["fallback"]["replicas"]) > BY_NAME[topic].partitions:
            yield f"{name}: more pods than {topic} has partitions"
        if not all(isinstance(value, str) for value in metadata.values()):
            yield f"{name}: a trigger's metadata are strings"
        elif metadata.get("offsetResetPolicy") != "earliest" or metadata.get("excludePersistentLag") != "true":
            yield f"{name}: offsetResetPolicy earliest, excludePersistentLag true"
        elif int(metadata["lagThreshold"]) < 100:
            yield f"{name}: a lag of {metadata['lagThreshold']} is a breath, not a reason for a pod"


def _settings(objects: Objects) -> dict[str, str]:
    maps = named(objects, "ConfigMap").items()
    return next((dict(item["data"]) for name, item in maps if "carteiro-env" in name), {})


def opens_the_doors_it_needs(objects: Objects) -> Iterator[str]:
    """NetworkPolicies, where there are any: all closed, and what is opened is a port that somebody needs."""
    policies = [item["spec"] for item in named(objects, "NetworkPolicy").values()]
    if not policies:
        return
    closed = {"podSelector": {"matchLabels": PART}, "policyTypes": ["Ingress", "Egress"]}
    if closed not in policies:
        yield "no policy closes both directions for every pod"
    for spec in policies:
        for rule in [*spec.get("egress", []), *spec.get("ingress", [])]:
            if not rule.get("ports"):
                yield "a rule without ports opens everything"
    for name, needed in DOORS.items():
        labels = {**PART, "app.kubernetes.io/name": name}
        mine = [spec for spec in policies if spec["podSelector"]["matchLabels"].items() <= labels.items()]
        out = {port["port"] for spec in mine for rule in spec.get("egress", []) for port in rule.get("ports", [])}
        if out != needed | {53}:
            yield f"{name}: ports out {sorted(out ^ (needed | {53}))} too many or too few"
        if not any("from" in rule for spec in mine for rule in spec.get("ingress", [])):
            yield f"{name}: nobody may scrape it"
        asked = {port["port"] for spec in mine for rule in spec.get("ingress", []) for port in rule.get("ports", [])}
        if asked - {"http"} != ({"api"} if name == "api" else set()):
            yield f"{name}: ports in {sorted(asked)}"


def is_scraped(objects: Objects) -> Iterator[str]:
    """A PodMonitor finds every service's pods and their port."""
    for monitor in named(objects, "PodMonitor").values():
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        ports = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        for name, workload in services(objects).items():
            offered = {port["name"] for container in containers_of(workload) for port in container.get("ports", [])}
            if not wanted <= workload["spec"]["template"]["metadata"]["labels"].items() or not ports <= offered:
                yield f"{name}: not found by the PodMonitor"


def has_a_log_in_each(objects: Objects) -> Iterator[str]:
    """CloudNativePG: one log-in a service, in its own role; the operator in all; the owner is none of them."""
    for cluster in named(objects, "Cluster").values():
        roles = {role["name"]: role for role in cluster["spec"]["managed"]["roles"]}
        wanted = {owner: {f"carteiro_{owner}"} for owner in OWNERS} | {"operator": {f"carteiro_{o}" for o in OWNERS}}
        for login, member_of in wanted.items():
            if not roles.get(login, {}).get("login") or set(roles[login].get("inRoles", [])) != member_of:
                yield f"{login}: no log-in in {sorted(member_of)}"
            elif roles[login].get("superuser") or "passwordSecret" not in roles[login]:
                yield f"{login}: an ordinary log-in with a password"
        yield from (f"role {role} is missing" for owner in OWNERS if (role := f"carteiro_{owner}") not in roles)


POLICIES = (
    has_one_namespace,
    names_what_exists,
    scales_what_it_may,
    opens_the_doors_it_needs,
    is_scraped,
    has_a_log_in_each,
)


def breaches(objects: Objects) -> list[str]:
    return [complaint for policy in POLICIES for complaint in policy(objects)]
