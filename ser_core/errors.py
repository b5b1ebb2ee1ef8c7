"""What all errors have in common whose message says what to do."""

from __future__ import annotations


class UserError(Exception):
    """Something that a user can mend: the message gives the rule, the value and what to do; no traceback is needed."""
