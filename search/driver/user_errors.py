"""Errors that are shown without a traceback, and what they say."""

from __future__ import annotations

import errno

from ser_core.errors import UserError
from spaces.knobs import KnobError

USER_ERRORS = (UserError, KnobError, ConnectionError)
"""Errors whose message says what to do. Those of the system, `OSError`, are explained here too."""

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
"""Refusals that are the disk's own."""


def explained(error: BaseException) -> str:
    """What happened and what to do, from the error itself and the notes that it was given on its way."""
    return " ".join([_what(error), *getattr(error, "__notes__", ())])


def _what(error: BaseException) -> str:
    if not isinstance(error, OSError) or error.strerror is None:  # such as those of a network, which have a text
        return str(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in _DISK:
        return f"the disk refused: {error.strerror}{where}."
    return f"{error.strerror}{where}."
