"""What a cluster would be given: `kubectl kustomize` over every kustomization that stands for itself."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.contract.manifest_rules import Object

K8S = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
OVERLAYS = sorted(path for path in (K8S / "overlays").iterdir() if path.is_dir())
COMBINATIONS = sorted((K8S / "tests").iterdir())
MIGRATIONS = [K8S / "migrate", K8S / "migrate-post", *sorted(K8S.glob("overlays/*/migrate*"))]
KAFKA = K8S / "kafka-resources"
TARGETS = [*OVERLAYS, *COMBINATIONS, *MIGRATIONS, KAFKA]


def name_of(target: Path) -> str:
    return str(target.relative_to(K8S))


overlays = pytest.mark.parametrize("target", OVERLAYS, ids=name_of)
installations = pytest.mark.parametrize("target", [*OVERLAYS, *COMBINATIONS], ids=name_of)
migrations = pytest.mark.parametrize("target", MIGRATIONS, ids=name_of)
everything = pytest.mark.parametrize("target", TARGETS, ids=name_of)


@cache
def rendered(target: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.fail("kubectl is not on PATH: install version 1.27 or newer, it renders the manifests", pytrace=False)
    out = subprocess.run([kubectl, "kustomize", str(target)], check=False, capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    return out.stdout


@cache
def render(target: Path) -> tuple[Object, ...]:
    """Read only: the same objects are given to every test. Copy before a change."""
    return tuple(item for item in yaml.safe_load_all(rendered(target)) if item)
