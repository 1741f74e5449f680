"""A real API server for the length of a test run: etcd and kube-apiserver on free ports, nothing that runs pods."""

import os
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from ops.stack.settings import HOST, free_ports
from shared.clock import monotonic
from tests.contract.manifest_rules import Object

_SECONDS = 90.0


class Cluster:
    """`programs` is the folder of kube-apiserver; etcd and kubectl are on PATH."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def apply(self, text: str, *, manager: str = "test") -> subprocess.CompletedProcess[str]:
        """As `kubectl apply` does for real: strict fields, and a warning is an error."""
        return self.kubectl(
            "apply", "--server-side", f"--field-manager={manager}", "--force-conflicts", "--validate=strict",
            "--warnings-as-errors", "-f", "-", text=text,
        )  # fmt: skip

    def kubectl(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", f"--kubeconfig={self._kubeconfig}", *arguments]
        return subprocess.run(command, input=text, check=False, capture_output=True, text=True, timeout=120)


@contextmanager
def running(programs: Path, folder: Path) -> Iterator[Cluster]:
    """Both are gone afterwards. RuntimeError with the end of the log when one does not come up."""
    client, peer, port = free_ports(3)
    key, tokens, token = folder / "sa.key", folder / "tokens.csv", secrets.token_hex(16)
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens.write_text(f"{token},admin,1,system:masters\n")
    tokens.chmod(0o600)
    etcd = f"http://{HOST}:{client}"
    with ExitStack() as stopping:
        stopping.enter_context(
            _process(
                folder / "etcd.log",
                ["etcd", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", f"--listen-client-urls={etcd}",
                 f"--advertise-client-urls={etcd}", f"--listen-peer-urls=http://{HOST}:{peer}",
                 f"--initial-advertise-peer-urls=http://{HOST}:{peer}",
                 f"--initial-cluster=default=http://{HOST}:{peer}"],
                f"{etcd}/health",
            )
        )  # fmt: skip
        certificates = folder / "certs"
        server = [
            str(programs / "kube-apiserver"), f"--etcd-servers={etcd}", f"--bind-address={HOST}",
            f"--advertise-address={HOST}", "--endpoint-reconciler-type=none", f"--secure-port={port}",
            f"--cert-dir={certificates}", f"--token-auth-file={tokens}", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.97.0.0/24", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
        ]  # fmt: skip
        stopping.enter_context(_process(folder / "apiserver.log", server, ""))
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_access(port, certificates / "apiserver.crt", token)))
        cluster = Cluster(kubeconfig)
        _until(lambda: cluster.kubectl("get", "--raw", "/readyz").stdout == "ok", folder / "apiserver.log")
        yield cluster


@contextmanager
def _process(log: Path, command: Sequence[str], health: str) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, env=dict(os.environ))  # noqa: TID251
    try:
        if health:
            _until(lambda: _answers(health) or process.poll() is not None, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(met: Any, log: Path) -> None:
    deadline = monotonic() + _SECONDS
    while not met():
        if monotonic() > deadline:
            raise RuntimeError(f"not ready after {_SECONDS:.0f} s:\n{log.read_text()[-2000:]}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _access(port: int, certificate: Path, token: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "clusters": [
            {"name": "test", "cluster": {"server": f"https://{HOST}:{port}", "certificate-authority": str(certificate)}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
    }


def definitions(objects: Sequence[Object]) -> str:
    """A CustomResourceDefinition for each custom kind: it accepts any field, the strict schemas judge those."""
    found: dict[str, Object] = {}
    for item in objects:
        group, _, version = item["apiVersion"].rpartition("/")
        kind, plural = item["kind"], f"{item['kind'].lower()}s"
        found[f"{plural}.{group}"] = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                ],
            },
        }
    return yaml.safe_dump_all(found.values())
