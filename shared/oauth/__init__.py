"""Log-in with OAuth2: access tokens for mail servers, and how they are shown to them."""

from shared.oauth.grants import GrantRefused, Purpose, TokenUnavailable
from shared.oauth.sasl import Sasl, bearer
from shared.oauth.tokens import Tokens, Vault, trust
from shared.oauth.vault import PostgresVault

__all__ = ["GrantRefused", "PostgresVault", "Purpose", "Sasl", "TokenUnavailable", "Tokens", "Vault", "bearer", "trust"]
