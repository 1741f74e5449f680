"""`make mutants`: takes each protection of tests/mutations.toml out, on a copy, and wants a named test to fail.

Three things can come out: *killed* (a test failed), *survived* (they all passed: the protection is not tested) and
*broken* (no test ran to its end, or they fail without the mutation as well: nothing is known). Tests without servers
run in parallel; the others one at a time, on servers that are started once.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

from tests.servers import Owner

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests/mutations.toml"
RESULT = ROOT / "var/mutants.json"
SERVERLESS = ("tests/unit/", "tests/contract/", "tests/manifests/test_alerts.py")
ONE_RUN_SECONDS = 900
_later = count(1)


@dataclass(frozen=True)
class Mutation:
    """A protection taken out: `before` stands once in `file` and becomes `after`; one of `tests` must then fail.

    `tests` are what pytest takes: `path` or `path::test`, without parameters.
    """

    name: str
    file: str
    before: str
    after: str
    tests: list[str]

    @property
    def serverless(self) -> bool:
        return all(test.startswith(SERVERLESS) for test in self.tests)

    def applied(self, text: str) -> str:
        """The mutated file. Raises ValueError when the entry is stale."""
        found = text.count(self.before)
        if found != 1:
            raise ValueError(f"{self.name}: `before` occurs {found} times in {self.file}, not once")
        return text.replace(self.before, self.after)


@dataclass(frozen=True)
class Outcome:
    name: str
    file: str
    state: str  # killed, survived or broken
    seconds: float
    detail: str  # the tests that failed, or what was wrong


def mutations(path: Path = LIST) -> list[Mutation]:
    """In the file's order. Raises TypeError for an unknown or missing key."""
    with path.open("rb") as file:
        return [Mutation(**entry) for entry in tomllib.load(file)["mutation"]]


@contextmanager
def copy_of_repository() -> Iterator[Path]:
    """What git knows or would add, in a folder of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="carteiro-mutants-") as name:
        folder = Path(name)
        for relative in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / relative).is_file():
                (folder / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / relative, folder / relative)
        yield folder


def run_tests(folder: Path, tests: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """`killed`, `survived` or `broken`, and why. An error in a fixture or while collecting is no failed test."""
    report = folder / "junit.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", f"--junitxml={report}"]
    here = {**environment, "PYTHONPATH": str(folder)}  # before the checkout, which .venv names
    try:
        ended = subprocess.run(
            [*command, *tests],
            cwd=folder,
            env=here,
            capture_output=True,
            text=True,
            timeout=ONE_RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "broken", f"no end within {ONE_RUN_SECONDS} s"
    last = (ended.stdout.strip().splitlines() or ended.stderr.strip().splitlines() or [""])[-1]
    if not report.exists():
        return "broken", f"pytest ended with {ended.returncode}: {last}"
    return judged(ET.parse(report).getroot(), ended.returncode, last)


def judged(report: ET.Element, status: int, last: str) -> tuple[str, str]:
    """From pytest's JUnit report and exit status: 0 all passed, 1 some failed, others did not run."""
    cases = list(report.iter("testcase"))
    failed = sorted({case.get("name", "") for case in cases if case.find("failure") is not None})
    unrun = [case for case in cases if case.find("error") is not None or case.find("skipped") is not None]
    if failed and status == 1:
        return "killed", ", ".join(failed)
    if status != 0 or len(unrun) == len(cases):
        return "broken", f"pytest ended with {status}: {last}"
    return "survived", f"{len(cases) - len(unrun)} tests passed"


def tried(mutation: Mutation, folder: Path, environment: Mapping[str, str]) -> Outcome:
    started, path = monotonic(), folder / mutation.file
    original = path.read_text(encoding="utf-8")
    try:
        _write(path, mutation.applied(original))
        state, detail = run_tests(folder, mutation.tests, environment)
    except (ValueError, OSError) as error:
        state, detail = "broken", str(error)
    finally:
        _write(path, original)
    return Outcome(mutation.name, mutation.file, state, round(monotonic() - started, 1), detail)


def said(outcome: Outcome) -> Outcome:
    print(f"{outcome.state:9} {outcome.seconds:6.1f} s  {outcome.name}: {outcome.detail[:100]}", flush=True)
    return outcome


def _write(path: Path, text: str) -> None:
    """Each time with a later date: Python takes bytecode of the same second and size for current."""
    path.write_text(text, encoding="utf-8")
    moment = path.stat().st_mtime + 10 * next(_later)
    os.utime(path, (moment, moment))


def all_tried(chosen: Sequence[Mutation], jobs: int, environment: Mapping[str, str]) -> list[Outcome]:
    """With `jobs` copies at once. The tests must pass without a mutation: else a failure says nothing. They are run
    together first; where one fails, each mutation's own before it."""
    if not chosen:
        return []
    with ExitStack() as copies, ThreadPoolExecutor(jobs) as pool:
        free: SimpleQueue[Path] = SimpleQueue()
        for _ in range(jobs):
            free.put(copies.enter_context(copy_of_repository()))

        def with_a_copy(mutation: Mutation) -> Outcome:
            folder = free.get()
            try:
                if doubted:
                    state, detail = run_tests(folder, mutation.tests, environment)
                    if state != "survived":
                        return said(Outcome(mutation.name, mutation.file, "broken", 0.0, f"without it: {detail}"))
                return said(tried(mutation, folder, environment))
            finally:
                free.put(folder)

        folder = free.get()
        state, detail = run_tests(folder, sorted({test for m in chosen for test in m.tests}), environment)
        free.put(folder)
        doubted = state != "survived"
        if doubted:
            print(f"without a mutation {state}: {detail}", flush=True)
        return list(pool.map(with_a_copy, chosen))


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The environment that names them (tests/servers.py)."""
    owner = Owner()
    try:
        answer = owner.answer("servers")
        if "kafka" not in answer:
            raise SystemExit(f"the servers did not start: {answer}")
        yield {
            "CARTEIRO_TEST_KAFKA": answer["kafka"],
            "CARTEIRO_TEST_POSTGRES": answer["postgres"],
            "CARTEIRO_TEST_MAIL": json.dumps(answer["mail"]),
            "CARTEIRO_TEST_CA_FILE": answer["ca_file"],
        }
    finally:
        owner.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """1 with survivors or broken entries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="words: entries whose name, file or tests contain one of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    chosen = [m for m in mutations() if not given.only or _named(m, given.only)]
    alone, served = [m for m in chosen if m.serverless], [m for m in chosen if not m.serverless]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # noqa: TID251  # handed on
    outcomes = all_tried(alone, given.jobs, environment)
    if served:
        with servers() as addresses:
            outcomes += all_tried(served, 1, environment | addresses)
    return told(outcomes)


def _named(mutation: Mutation, words: Iterable[str]) -> bool:
    where = " ".join((mutation.name, mutation.file, *mutation.tests))
    return any(word in where for word in words)


def told(outcomes: Sequence[Outcome]) -> int:
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n", encoding="utf-8")
    counts = {state: [o for o in outcomes if o.state == state] for state in ("killed", "survived", "broken")}
    print(f"\n{len(outcomes)} mutations: " + ", ".join(f"{len(found)} {state}" for state, found in counts.items()))
    for outcome in counts["survived"] + counts["broken"]:
        print(f"{outcome.state:9} {outcome.file}: {outcome.name} ({outcome.detail})")
    return 1 if counts["survived"] or counts["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
