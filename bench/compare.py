"""Two results of `make bench` as ratios, B over A: `python -m bench.compare A.json B.json`.

CPU figures are divided by each run's slowness first, so that results of different hours can be compared.
"""

import json
import sys
from pathlib import Path
from typing import Any


def ratios(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """Name, A, B, B / A of each figure that both have."""
    one, other = figures(a), figures(b)
    return [(name, one[name], other[name], other[name] / one[name]) for name in one if other.get(name) and one[name]]


def figures(result: dict[str, Any]) -> dict[str, float]:
    median = result["median"]
    found = {
        "mails/s, corrected": median["rate_corrected"],
        "four services, ms CPU a mail, corrected": median["services_cpu_ms_corrected"],
    }
    found |= {f"{name}, ms CPU a mail, corrected": ms / median["slowness"] for name, ms in median["cpu_ms"].items()}
    found |= {f"{name}, MB at most": mb for name, mb in median["memory_mb"].items()}
    return found | {f"latency {name}": value for name, value in result["latency"].items() if name != "mails"}


def main(first: Path, second: Path) -> None:
    for name, one, other, ratio in ratios(json.loads(first.read_text()), json.loads(second.read_text())):
        print(f"{name:45} {one:10.3f} {other:10.3f} {ratio:7.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
