"""How protocols and their folds are called, see `ser_core.protocols`. Standard library only."""

from __future__ import annotations

PUBLISHED = ("emobox", "luna")
"""Protocols whose folds papers publish."""

KFOLD, LOSO, LOGO, PAIRS = "kfold", "loso", "logo", "pairs"
PROTOCOL_NAMES = (*PUBLISHED, f"{KFOLD}:K", LOSO, f"{LOGO}:COLUMN", f"{PAIRS}:COLUMN")
"""As messages name them."""


def is_protocol(split: str) -> bool:
    """True for the name of a protocol, with or without its number or column; False for one fold of it."""
    name, _, rest = split.partition(":")
    if name in (KFOLD, LOGO, PAIRS):
        return ":" not in rest
    return split in (*PUBLISHED, LOSO)


def trained_group(fold: str) -> tuple[str, str] | None:
    """Column and group that a fold of `pairs` trains on; None for any other split."""
    name, _, rest = fold.partition(":")
    column, colon, group = rest.partition(":")
    return (column, group) if name == PAIRS and colon else None
