"""A Carteiro of its own whose services are containers of the built image, hardened as in production."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testcontainers.core.container import DockerContainer

from ops.stack.settings import free_ports
from tests.e2e.installation import Installation

IMAGE = "carteiro:dev"
HARDENED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


class Carteiro(DockerContainer):
    """The image by its own name: it is built here, no prefix stands before it."""

    def __init__(self, *arguments: str, **kwargs: Any) -> None:
        super().__init__(IMAGE, **HARDENED, **kwargs)
        self.image = IMAGE
        self.with_tmpfs_mount("/scratch")
        self.with_command(list(arguments))


@dataclass
class Contained(Installation):
    """On the host's network, so that the servers answer where they do for everybody else."""

    containers: dict[str, DockerContainer] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        self._let_in()
        for name, port in zip(names, free_ports(len(names)), strict=True):
            own = {key: value for key, value in self.environment(port).items() if key.startswith("CARTEIRO_")}
            container = Carteiro("run", name, network_mode="host").with_envs(**own)
            container.with_volume_mapping(self.folder, str(self.folder), "rw")
            container.with_volume_mapping(self.servers.ca_file, str(self.servers.ca_file))
            container.start()
            self.containers[name], self.ports[name] = container, port

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM to these (all); their exit statuses."""
        chosen = {name: self.containers.pop(name) for name in names or list(self.containers)}
        with ThreadPoolExecutor() as pool:  # as they would be stopped: all at once
            return dict(pool.map(self._stopped, chosen, chosen.values()))

    def _stopped(self, name: str, container: DockerContainer) -> tuple[str, int]:
        inside = container.get_wrapped_container()
        inside.stop(timeout=60)
        status = int(inside.wait()["StatusCode"])
        (self.folder / f"{name}.log").write_bytes(b"".join(container.get_logs()))
        container.stop()
        return name, status

    def health(self, name: str) -> str:
        """`starting`, `healthy` or `unhealthy`, as the engine says."""
        inside = self.containers[name].get_wrapped_container()
        inside.reload()
        return str(inside.attrs["State"]["Health"]["Status"])

    def assert_running(self) -> None:
        for name, container in self.containers.items():
            inside = container.get_wrapped_container()
            inside.reload()
            if inside.status != "running":
                raise AssertionError(f"{name}: {b''.join(container.get_logs()).decode()[-3000:]}")

    def _let_in(self) -> None:
        """The image's user reads the desk and the secrets and writes the originals."""
        (self.folder / "objects").mkdir(exist_ok=True)
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)
        for parent in self.folder.parents:
            if parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        ca_file = self.servers.ca_file
        ca_file.chmod(0o644)
        ca_file.parent.chmod(0o755)
        ca_file.parent.parent.chmod(0o755)
