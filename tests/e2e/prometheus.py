"""Debian's Prometheus on the services of one installation.

`faster`: nobody waits for minutes in a test; what the rules measure in minutes is measured in seconds there (`for: 5m`
is `for: 5s`, `> 900` seconds is `> 15`). Everything else is as it is shipped.
"""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

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

    def asked(self, path: str, **words: str) -> Any:
        """`data` of an answer; None while it starts."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urlencode(words)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def up(self) -> set[str]:
        """Label `service` of the targets that answer."""
        targets = (self.asked("targets") or {"activeTargets": []})["activeTargets"]
        return {each["labels"]["service"] for each in targets if each["health"] == "up"}

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in (self.asked("rules") or {"groups": []})["groups"] for rule in group["rules"]]

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Alert -> labels of each that fires."""
        firing: dict[str, list[dict[str, str]]] = {}
        for alert in (self.asked("alerts") or {"alerts": []})["alerts"]:
            if alert["state"] == "firing":
                firing.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return firing

    def fires(self, alert: str) -> Callable[[], bool]:
        return lambda: alert in self.firing()

    def value(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Labels -> value now."""
        answer = self.asked("query", query=expression) or {"result": []}
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in answer["result"]}


@contextmanager
def scraping(program: str, ports: Mapping[str, int], folder: Path, rules: str) -> Iterator[Prometheus]:
    """Until the end of the block; every second. `ports`: of each service, its label."""
    (port,) = free_ports(1)
    (folder / "rules.yaml").write_text(rules)
    name_targets(ports, folder)
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "carteiro", "file_sd_configs": [{"files": ["targets.json"]}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    command = [
        program,
        "--config.file=prometheus.yaml",
        "--storage.tsdb.path=prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def name_targets(ports: Mapping[str, int], folder: Path) -> None:
    """Prometheus watches the file: a service that is started again has another port."""
    named = [{"targets": [f"127.0.0.1:{port}"], "labels": {"service": name}} for name, port in ports.items()]
    (folder / "new.json").write_text(json.dumps(named))
    (folder / "new.json").rename(folder / "targets.json")
