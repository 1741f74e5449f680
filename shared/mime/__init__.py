"""The tolerant, bounded mail parser: `parse` never raises, whatever the bytes."""

from shared.mime.limits import DEFAULT, Limits
from shared.mime.model import Address, Attachment, Mail
from shared.mime.parser import parse

__all__ = ["DEFAULT", "Address", "Attachment", "Limits", "Mail", "parse"]
