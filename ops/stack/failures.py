"""What ends the local stack: one sentence that says what, where and what to do, and the exit status.

69 a server or registry cannot be reached, 78 the configuration or platform does not fit, else 1.
"""

import errno


class StackError(Exception):
    """Ends the stack with `status`; the text is the whole sentence shown to the user."""

    status = 1


class Unreachable(StackError):
    status = 69


class Misconfigured(StackError):
    status = 78


def from_os_error(error: OSError) -> StackError:
    """The sentence for what the operating system refused (a full disk is the common one)."""
    where = error.filename or "the data folder"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StackError(f"The disk is full at {where}: free some space or set CARTEIRO_STACK_DATA to another.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StackError(f"{where} cannot be written ({error.strerror}): change its owner or set CARTEIRO_STACK_DATA.")
    return StackError(f"{where}: {error.strerror or error}.")
