"""The Java archives named in `jars.lock`: fetched once, checked, kept for every checkout of this user.

The registry's address stands nowhere in this repository: it is jgo's, or the setting CARTEIRO_STACK_MAVEN.
"""

import hashlib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import certifi
from jgo.constants import MAVEN_CENTRAL_URL

from ops.stack.failures import StackError, Unreachable

LOCK = Path(__file__).parents[2] / "jars.lock"


@dataclass(frozen=True, slots=True)
class Jar:
    """`size` in bytes; `class_path` names the server it belongs to."""

    class_path: str
    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def url_path(self) -> str:
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def read_lock(text: str) -> list[Jar]:
    """Lines of `class-path group:artifact:version sha256 bytes`; ValueError names a broken one."""
    jars = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            class_path, coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(class_path, group, artifact, version, sha256, int(size)))
        except ValueError as error:
            raise ValueError(f"jars.lock line {number} is not: name group:artifact:version sha256 bytes") from error
    return jars


def missing(jars: Iterable[Jar], folder: Path) -> list[Jar]:
    """Those not in the folder with their full size (they were checked before they got their name)."""
    absent = []
    for jar in jars:
        path = folder / jar.name
        if not path.is_file() or path.stat().st_size != jar.size:
            absent.append(jar)
    return absent


def fetch(
    jars: Iterable[Jar], folder: Path, registry: str | None, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Download what is missing, eight at a time; `progress` hears the bytes of each finished one."""
    folder.mkdir(parents=True, exist_ok=True)
    base = (registry or MAVEN_CENTRAL_URL).rstrip("/")
    context = ssl.create_default_context()  # the machine's own authorities (a company's proxy) …
    context.load_verify_locations(certifi.where())  # … and the public ones: python.org's macOS build has none

    def one(jar: Jar) -> None:
        _fetch_one(jar, folder, f"{base}/{jar.url_path}", context)
        progress(jar.size)

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(one, jars):
            pass


def class_path(jars: Iterable[Jar], name: str, folder: Path) -> str:
    return ":".join(str(folder / jar.name) for jar in jars if jar.class_path == name)


def _fetch_one(jar: Jar, folder: Path, url: str, context: ssl.SSLContext) -> None:
    if not url.startswith(("https://", "http://")):
        raise StackError(f"CARTEIRO_STACK_MAVEN is not an address: {url} does not begin with https:// or http://.")
    part = folder / f"{jar.name}.{threading.get_native_id()}.part"
    try:
        with urllib.request.urlopen(url, timeout=60, context=context) as answer:  # noqa: S310  # checked above
            content: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise Unreachable(
            f"{jar.name}: the Java registry answered {error.code}: check CARTEIRO_STACK_MAVEN, or try again later."
        ) from error
    except (OSError, TimeoutError) as error:
        raise Unreachable(
            f"{jar.name} cannot be fetched ({error}): check the network and HTTPS_PROXY, or name a mirror of the "
            "Java registry in CARTEIRO_STACK_MAVEN."
        ) from error
    if len(content) != jar.size or hashlib.sha256(content).hexdigest() != jar.sha256:
        raise StackError(f"{jar.name} is not the file named in jars.lock: the registry or mirror serves another.")
    try:
        part.write_bytes(content)
        part.replace(folder / jar.name)
    finally:
        part.unlink(missing_ok=True)
