"""The raw originals: the mails of a batch are one object, a pack, in which each is sealed under a key of its own."""

from shared.originals.packs import Pack, Reference, packed
from shared.originals.stores import OriginalMissing, Originals, open_originals

__all__ = ["OriginalMissing", "Originals", "Pack", "Reference", "open_originals", "packed"]
