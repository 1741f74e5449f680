"""Strict schemas of every kind we ship: a field that no schema knows is an error, as is a kind without a schema.

Core kinds: the OpenAPI description that a version of Kubernetes carries in its Go module. Custom resources: one file
each, `<group>/<kind>_<version>.json`, in the folder that CARTEIRO_CRD_SCHEMAS names, or made from the definitions in
the operators' own Go modules. Neither is copied into this repository.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Schema = dict[str, Any]
MINORS = ("1.35.4", "1.36.2", "1.37.2")
_OPERATORS = {  # where each kind's definition lies in the module of its operator
    "keda.sh/scaledobject_v1alpha1": ("github.com/kedacore/keda/v2@v2.20.2", "config/crd/bases/keda.sh_scaledobjects"),
    "keda.sh/triggerauthentication_v1alpha1": (
        "github.com/kedacore/keda/v2@v2.20.2",
        "config/crd/bases/keda.sh_triggerauthentications",
    ),
    "monitoring.coreos.com/podmonitor_v1": (
        "github.com/prometheus-operator/prometheus-operator@v0.93.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors",
    ),
    "monitoring.coreos.com/prometheusrule_v1": (
        "github.com/prometheus-operator/prometheus-operator@v0.93.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules",
    ),
    "postgresql.cnpg.io/cluster_v1": (
        "github.com/cloudnative-pg/cloudnative-pg@v1.30.0",
        "config/crd/bases/postgresql.cnpg.io_clusters",
    ),
    "external-secrets.io/externalsecret_v1": (
        "github.com/external-secrets/external-secrets@v1.3.2",
        "config/crds/bases/external-secrets.io_externalsecrets",
    ),
}
_STRIMZI = Path(__file__).with_name("strimzi")  # not a Go module: what we use of its two kinds, written by hand


class NotHere(Exception):
    """No schema can be had on this machine; the text says why."""


def complaints(item: dict[str, Any], schema: Schema) -> list[str]:
    """`path: what is wrong`; empty: it fits."""
    found = jsonschema.Draft202012Validator(schema).iter_errors(item)
    return [f"{error.json_path}: {error.message}" for error in found]


def schema_of(item: dict[str, Any], minor: str) -> Schema:
    """Raises KeyError for a kind without a schema, NotHere."""
    group, _, version = item["apiVersion"].rpartition("/")
    if group in _core_groups(minor):
        return _core(minor)[item["apiVersion"], item["kind"]]
    return _custom(f"{group}/{item['kind'].lower()}_{version}")


# --- core kinds -----------------------------------------------------------------------------------------------


@cache
def _core(minor: str) -> dict[tuple[str, str], Schema]:
    """(apiVersion, kind) -> schema with every definition it reaches."""
    definitions = {name: _closed(body) for name, body in _swagger(minor)["definitions"].items()}
    found = {}
    for name, body in definitions.items():
        kinds = body.get("x-kubernetes-group-version-kind", [])
        if len(kinds) != 1 or "metadata" not in body.get("properties", {}):
            continue
        group, version, kind = (kinds[0][key] for key in ("group", "version", "kind"))
        api_version = f"{group}/{version}" if group else version
        pinned = {**body["properties"], "apiVersion": {"const": api_version}, "kind": {"const": kind}}
        found[api_version, kind] = {
            **body,
            "properties": pinned,
            "required": [*body.get("required", []), "apiVersion", "kind"],
            "definitions": {other: definitions[other] for other in _reached(name, definitions)},
        }
    return found


@cache
def _core_groups(minor: str) -> frozenset[str]:
    return frozenset(api_version.rpartition("/")[0] for api_version, _ in _core(minor))


@cache
def _swagger(minor: str) -> Schema:
    return dict(json.loads(_from_module(f"k8s.io/kubernetes@v{minor}", "api/openapi-spec/swagger.json")))


def _closed(schema: Any) -> Any:
    """No field beside those listed; the three types that OpenAPI says in words of its own."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(part) for key, part in schema.items()}
    open_on_purpose = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and not open_on_purpose:
        closed["additionalProperties"] = False
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        closed.pop("anyOf", None)
        closed["type"] = ["string", "integer"]
    elif "Quantity is a fixed-point" in str(schema.get("description", "")) and schema.get("type") == "string":
        closed["type"] = ["string", "number"]
    if schema.get("nullable") and isinstance(closed.get("type"), str):
        closed["type"] = [closed["type"], "null"]
    return closed


def _reached(name: str, definitions: dict[str, Schema]) -> set[str]:
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting += _references(definitions[current])
    return reached


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)
    elif isinstance(schema, dict):
        for key, part in schema.items():
            if key == "$ref" and isinstance(part, str):
                yield part.removeprefix("#/definitions/")
            else:
                yield from _references(part)


# --- custom resources -----------------------------------------------------------------------------------------


@cache
def _custom(name: str) -> Schema:
    folder = os.environ.get("CARTEIRO_CRD_SCHEMAS")  # noqa: TID251  # where the machine of the run keeps them
    if folder:
        path = Path(folder) / f"{name}.json"
        if not path.exists():
            raise KeyError(f"no schema {name}.json in CARTEIRO_CRD_SCHEMAS={folder}")
        return dict(json.loads(path.read_text(encoding="utf-8")))
    if name.startswith("kafka.strimzi.io/"):
        return dict(yaml.safe_load((_STRIMZI / f"{name.rpartition('/')[2]}.yaml").read_text(encoding="utf-8")))
    module, path_in_module = _OPERATORS[name]
    definition = yaml.safe_load(_from_module(module, f"{path_in_module}.yaml"))
    [version] = [v for v in definition["spec"]["versions"] if v["name"] == name.rpartition("_")[2]]
    schema: Schema = _closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _from_module(module: str, path: str) -> bytes:
    """One file of a Go module. Raises NotHere."""
    go = shutil.which("go")
    if go is None:
        raise NotHere("go is not on PATH: it brings the schemas of Kubernetes")
    done = subprocess.run(
        [go, "mod", "download", "-json", module], check=False, capture_output=True, text=True, cwd="/"
    )
    if done.returncode:
        raise NotHere(f"{module} cannot be had: {(done.stdout + done.stderr).strip()[-300:]}")
    with zipfile.ZipFile(json.loads(done.stdout)["Zip"]) as archive:
        return archive.read(f"{module}/{path}")
