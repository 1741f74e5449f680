"""A certificate authority of this stack's own, and the servers' certificate for loopback under it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import load_pem_x509_certificate

KEYSTORE_PASSWORD = "changeit"  # noqa: S105  # Java wants one; the folder's mode protects the file


@dataclass(frozen=True, slots=True)
class Certificates:
    """`keystore` is PKCS#12, for Java; `server` holds key and chain in PEM."""

    ca: Path
    server: Path
    keystore: Path


def ensure(folder: Path) -> Certificates:
    """Made once and kept, so that a mail client which trusted the authority goes on trusting it."""
    if not folder.exists():
        draft = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        _make(draft)
        draft.rename(folder)
    return _named(folder)


def _named(folder: Path) -> Certificates:
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.p12")


def _make(folder: Path) -> None:
    paths = _named(folder)
    authority = trustme.CA(organization_name="Carteiro local stack")
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(paths.ca))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(paths.server))
    key = load_pem_private_key(leaf.private_key_pem.bytes(), password=None)
    certificate = load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    paths.keystore.write_bytes(
        serialize_key_and_certificates(
            b"carteiro",
            key,  # type: ignore[arg-type]  # load_pem_private_key also names key kinds PKCS#12 has not
            certificate,
            [load_pem_x509_certificate(authority.cert_pem.bytes())],
            BestAvailableEncryption(KEYSTORE_PASSWORD.encode()),
        )
    )
