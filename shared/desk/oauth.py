"""Log-in with OAuth2 in place of a password: what of it the desk says. Pure."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from shared.desk.part import Part, Secret
from shared.desk.values import Line, TokenUrl

Provider = Literal["microsoft", "google"]
Mistake = tuple[str, str, str]
"""Field, what was found, what was expected."""


class OAuth2(Part):
    """Log-in with OAuth2 in place of a password (Microsoft 365, Google)."""

    provider: Provider = Field(title="Token configuration", description="Who gives out the access tokens.")
    tenant: Line | None = Field(None, description="Directory (tenant) id or domain of the organisation (Microsoft).")
    client_id: Line | None = Field(None, description="Application (client) id.")
    client_secret: Secret | None = Field(
        None,
        description="The secret that holds the application's client secret. With Microsoft and without `refresh_token` "
        "the application logs in by itself (client credentials).",
    )
    refresh_token: Secret | None = Field(
        None,
        description="The secret that holds the refresh token that a person's consent gave. What the provider puts in "
        "its place later is kept in the database, sealed with the secret `oauth_keys`.",
    )
    service_account: Secret | None = Field(
        None,
        description="The secret that holds the JSON key of a service account with domain-wide delegation (Google).",
    )
    token_url: TokenUrl | None = Field(
        None, description="Token endpoint of another cloud; by default the provider's public one."
    )

    @property
    def secrets(self) -> dict[str, Secret]:
        """Those it names, by field."""
        named = {each: getattr(self, each) for each in ("client_secret", "refresh_token", "service_account")}
        return {field: secret for field, secret in named.items() if secret}


def log_in_mistakes(password: Secret | None, oauth2: OAuth2 | None) -> Iterator[Mistake]:
    """Of a server that demands a log-in."""
    if password and oauth2:
        yield "oauth2", "stands beside password", "expected one of the two"
    elif not password and not oauth2:
        yield "password", "missing", "expected {secret: NAME}, or oauth2"
    if oauth2:
        mistakes = _microsoft(oauth2) if oauth2.provider == "microsoft" else _google(oauth2)
        for field, found, wanted in mistakes:
            yield f"oauth2.{field}", found, wanted


def _microsoft(oauth2: OAuth2) -> Iterator[Mistake]:
    if oauth2.service_account:
        yield "service_account", "a field of google beside microsoft", "expected nothing here"
    if oauth2.tenant is None and oauth2.token_url is None:
        yield "tenant", "missing", "expected the id or domain of the organisation"
    if oauth2.client_id is None:
        yield "client_id", "missing", "expected the application's id"
    if not oauth2.refresh_token and not oauth2.client_secret:
        yield "client_secret", "missing", "expected {secret: NAME} here, or as refresh_token"


def _google(oauth2: OAuth2) -> Iterator[Mistake]:
    if oauth2.tenant:
        yield "tenant", "a field of microsoft beside google", "expected nothing here"
    if oauth2.service_account:
        for field in ("client_id", "client_secret", "refresh_token"):
            if getattr(oauth2, field):
                yield field, "stands beside service_account, which has its own", "expected nothing here"
        return
    for field in ("refresh_token", "client_id", "client_secret"):
        if not getattr(oauth2, field):
            yield field, "missing", "expected it, or service_account"
