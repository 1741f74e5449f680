from typing import Any

class error(Exception): ...  # noqa: N801

class Options:
    case_sensitive: bool
    log_errors: bool

def compile(pattern: str, options: Options) -> Any: ...  # noqa: A001
