"""With CI=true a test that could not run is a failure; elsewhere it is listed."""

import subprocess
import sys
from pathlib import Path

import pytest

from ops.stack.settings import inherited

ROOT = Path(__file__).parents[3]
SKIPS = """\
import pytest

def test_needs_what_this_machine_has_not():
    pytest.skip("no such server")

@pytest.mark.xfail(strict=True)
def test_is_known_to_fail():
    raise AssertionError
"""


@pytest.mark.parametrize(("ci", "status", "said"), [("true", 1, "not run, and CI=true"), ("", 0, "1 skipped")])
def test_a_skip_is_a_failure_where_ci_is_true(ci: str, status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "test_skips.py").write_text(SKIPS)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    environment = inherited() | {"CI": ci, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    environment.pop("PYTEST_ADDOPTS", None)
    if not ci:
        environment.pop("CI")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "-p", "no:randomly", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in done.stdout
    assert "no such server" in done.stdout
    assert "1 xfailed" in done.stdout
    assert done.returncode == status
