"""How much an outbound account takes at once: connections and mails a minute, lowered when the server says so. Pure:
times are seconds of a clock that the caller reads."""

from dataclasses import dataclass, field

RAISE_SECONDS = 60.0


@dataclass
class Throttle:
    """`connections` and `per_minute` (0: no limit) are the account's settings; `allowed` connections now."""

    connections: int
    per_minute: int = 0
    allowed: int = field(init=False)

    def __post_init__(self) -> None:
        self.allowed = self.connections
        self._raise_at = 0.0
        self._saved = float(self._burst)
        self._counted_at: float | None = None

    @property
    def _burst(self) -> int:
        return max(1, self.per_minute // 10)

    def busy(self, now: float) -> None:
        """The server wants less: half the connections, and one more for each minute that it does not complain."""
        self.allowed = max(1, self.allowed // 2)
        self._raise_at = now + RAISE_SECONDS

    def passed(self, now: float) -> bool:
        """A mail went through; True when a connection more is allowed now."""
        if self.allowed >= self.connections or now < self._raise_at:
            return False
        self.allowed += 1
        self._raise_at = now + RAISE_SECONDS
        return True

    def ration(self, now: float, wanted: int) -> int:
        """How many of `wanted` mails may begin now."""
        if not self.per_minute:
            return wanted
        since = 0.0 if self._counted_at is None else max(0.0, now - self._counted_at)
        self._counted_at = now
        self._saved = min(float(self._burst), self._saved + since * self.per_minute / 60)
        return min(wanted, int(self._saved))

    def spend(self, mails: int) -> None:
        """That many began."""
        self._saved -= mails if self.per_minute else 0
