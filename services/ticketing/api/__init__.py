"""The HTTP API over tickets, articles and originals: `docs/api.md`, `docs/openapi.json`."""
