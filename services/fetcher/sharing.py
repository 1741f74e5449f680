"""How many accounts each fetcher holds: decisions, no I/O.

Every fetcher reckons the same from the same table, so nobody has to be asked: whoever holds most keeps what is left
over, and no account moves without need.
"""

from collections.abc import Collection, Mapping, Sequence


def shares(held: Mapping[str, int], accounts: int) -> dict[str, int]:
    """How many of `accounts` each holder should have; `held`: how many each has now."""
    if not held:
        return {}
    each, left_over = divmod(accounts, len(held))
    ranked = sorted(held, key=lambda holder: (-held[holder], holder))
    return {holder: each + (place < left_over) for place, holder in enumerate(ranked)}


def surplus(held: Collection[str], share: int) -> Sequence[str]:
    """Accounts to give away: the last by name, whoever reckons."""
    return sorted(held)[share:]
