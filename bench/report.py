"""The table of `docs/performance.md`: `python -m bench.report` takes the last result of `make bench` as the one that
the page shows (`bench/results/reference.json`) and writes the table anew.

`tests/contract/test_performance_page.py` compares page and result.
"""

import json
from pathlib import Path
from typing import Any

LATEST = Path(__file__).parent / "results" / "latest.json"
SHOWN = LATEST.with_name("reference.json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
SERVICES = ("fetcher", "dispatcher", "ticketing", "mailer")


def table(result: dict[str, Any]) -> str:
    median, runs = result["median"], result["runs"]
    slow = median["slowness"]
    lines = [
        (
            f"{len(runs)} runs of {runs[0]['mails']} mails, mailbox {result['mailbox']}; medians. The machine was "
            f"{slow:.2f} times slower than at its best (a loop of fixed work ran beside); `corrected` takes that out."
        ),
        "",
        "| | measured | corrected |",
        "|---|---|---|",
        f"| mails a second | {median['rate']:.0f} | {median['rate_corrected']:.0f} |",
        (
            f"| **CPU ms a mail, the four services** | **{median['services_cpu_ms']:.2f}** | "
            f"**{median['services_cpu_ms_corrected']:.2f}** |"
        ),
    ]
    for name, ms in median["cpu_ms"].items():
        lines.append(f"| {name} | {ms:.2f} | {ms / slow:.2f} |")
    lines += ["", "| resident memory at most | MB |", "|---|---|"]
    lines += [f"| {name} | {median['memory_mb'][name]:.0f} |" for name in SERVICES]
    latency = result["latency"]
    if latency:
        lines += [
            "",
            (
                f"From the server's IDLE push to the answer at the SMTP server, {latency['mails']} single mails: "
                f"p50 {latency['p50_ms']:.0f} ms, longest {latency['p99_ms']:.0f} ms."
            ),
        ]
    return "\n".join(lines)


def page(text: str, result: dict[str, Any]) -> str:
    """The page with the table in its place."""
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n{table(result)}\n{END}{tail}"


def main() -> None:
    SHOWN.write_text(LATEST.read_text())
    PAGE.write_text(page(PAGE.read_text(), json.loads(SHOWN.read_text())))


if __name__ == "__main__":
    main()
