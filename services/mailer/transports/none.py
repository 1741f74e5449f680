"""The transport `none`: mails are composed and recorded, and go to nobody."""

from services.mailer.states import Outcome, Result


class NoTransport:
    async def deliver(self, _sender: str, _recipient: str, _raw: bytes, _dot_before: float) -> Outcome:
        return Outcome(Result.SUPPRESSED, word="transport_none")

    async def close(self) -> None:
        """Nothing is open."""
