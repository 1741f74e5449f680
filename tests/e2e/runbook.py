"""A runbook as an operator follows it: its commands, parsed out of the page and run as they stand there.

The ids of the page's examples are replaced by the real ones. There is no cluster: `kubectl logs` shows the services'
log files, and what else is asked of `kubectl` is written down for the test to do.
"""

import asyncio
import re
import subprocess
import sys

from tests.e2e.installation import REPO, Installation

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_KUBECTL = """\
#!/usr/bin/env bash
echo "$*" >> {folder}/kubectl.asked
case "$*" in *" logs "*) cat {folder}/*.log ;; esac
"""


def commands(alert: str) -> list[str]:
    """Every line of the page's code blocks, in order."""
    page = (REPO / "docs" / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    return [line for block in _BLOCK.findall(page) for line in block.splitlines() if line.strip()]


def command(alert: str, start: str, **ids: str) -> str:
    """The first line of the page that starts so; `ids`: example -> real (without the leading underscore)."""
    line = next(line for line in commands(alert) if line.startswith(start))
    for example, real in ids.items():
        line = re.sub(rf"\b{example.removeprefix('_')}\b", real, line)
    return line


async def run(made: Installation, line: str) -> subprocess.CompletedProcess[str]:
    """In a shell, with `carteiro` and `kubectl` on its PATH."""
    programs = made.folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "kubectl").write_text(_KUBECTL.format(folder=made.folder))
    (programs / "carteiro").write_text(f'#!/usr/bin/env bash\nexec {sys.executable} -m ops.cli "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = made.environment()
    environment |= {"PATH": f"{programs}:{environment['PATH']}", "PYTHONPATH": str(REPO)}
    return await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", line],
        env=environment,
        cwd=made.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def asked(made: Installation) -> list[str]:
    """What `kubectl` was asked for besides logs."""
    file = made.folder / "kubectl.asked"
    return [line for line in file.read_text().splitlines() if " logs " not in line] if file.exists() else []
