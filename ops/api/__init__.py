"""`carteiro run api`: the HTTP API of an installation; what crosses services is put together here."""
