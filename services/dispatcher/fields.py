"""Address fields of a mail that the parser does not read for everybody."""

from shared.mime.addresses import scan
from shared.mime.charsets import Decoder
from shared.mime.model import Address, Mail


def addresses(mail: Mail, field: str) -> list[Address]:
    """The addresses of every field of this lower-case name, in their order."""
    if field == "to":
        return mail.to
    if field == "cc":
        return mail.cc
    values = mail.headers.all(field)
    return scan(values, Decoder(0), mail.limits, field) if values else []
