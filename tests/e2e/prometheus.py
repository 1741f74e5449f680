"""Debian's Prometheus on the services of one installation, with the alert rules that are shipped.

Nobody waits for minutes in a test: what the rules measure in minutes is measured in seconds here (`for: 5m` is
`for: 5s`, `> 900` seconds is `> 15`). Everything else is as it is shipped.
"""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from ops.stack.settings import free_ports
from tests.e2e.installation import REPO

RULES = REPO / "deploy" / "prometheus" / "rules.yaml"
_AGE = re.compile(r"> (\d{3,5})$")


def found() -> str | None:
    """From PATH, or where tools/debian.sh puts it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # noqa: TID251  # as tools/debian.sh
    return shutil.which("prometheus", path=f"{os.environ['PATH']}:{cache}/carteiro/tools/bin")  # noqa: TID251


def faster(rules: str) -> str:
    """The rules with minutes as seconds."""
    read = yaml.safe_load(rules)
    for rule in (rule for group in read["groups"] for rule in group["rules"]):
        if "for" in rule:
            rule["for"] = rule["for"].replace("m", "s")
        rule["expr"] = _AGE.sub(lambda age: f"> {int(age[1]) / 60:g}", rule["expr"].strip())
    return yaml.safe_dump(read)


@dataclass(frozen=True)
class Prometheus:
    url: str

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Alert -> labels of each that fires."""
        firing: dict[str, list[dict[str, str]]] = {}
        for alert in self._asked("alerts")["alerts"]:
            if alert["state"] == "firing":
                firing.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return firing

    def fires(self, alert: str) -> Callable[[], bool]:
        return lambda: alert in self.firing()

    def value(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Labels -> value now."""
        answer = self._asked(f"query?query={quote(expression)}")
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in answer["result"]}

    def _asked(self, what: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{what}", timeout=30) as answer:
                return json.load(answer)["data"]
        except OSError:
            return {"alerts": [], "result": []}  # it is starting


@contextmanager
def scraping(program: str, ports: Sequence[int], folder: Path) -> Iterator[Prometheus]:
    """Until the end of the block; every second."""
    (port,) = free_ports(1)
    rules = folder / "rules.yaml"
    rules.write_text(faster(RULES.read_text(encoding="utf-8")))
    job = {"job_name": "carteiro", "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in ports]}]}
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [job],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    command = [
        program,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)
