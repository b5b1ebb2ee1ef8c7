"""What the licence of a corpus says of models that were trained on it, as far as this program can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass

OTHER = "other"
"""What model hubs call a licence that they have no name for."""
_NAMED = {
    "Open Database License 1.0; contents: Database Contents License 1.0": "odbl",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "CC BY-NC-ND 4.0": "cc-by-nc-nd-4.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC0 1.0": "cc0-1.0",
    "GPL-3.0": "gpl-3.0",
    "MIT": "mit",
}
"""Licences of corpora that a hub knows -> its name for each; a text that is part of another one comes after it."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a licence asks of who shares a model.

    Attributes:
        hub_name: the licence as model hubs name it, or `OTHER`.
        own_name: what hubs call it beside `OTHER`, in letters, digits and hyphens; "" where they know it.
        restrictions: what it forbids, or does not say; empty where a model may be shared and sold.
    """

    hub_name: str
    own_name: str
    restrictions: tuple[str, ...]


def terms_of(licence: str) -> Terms:
    """The terms of a corpus's licence; of several corpora, whose licences a semicolon joins, all of theirs.

    What is not known to be free counts as restricted: nobody is hurt by a question too many.
    """
    left, found = licence, []
    for text, name in _NAMED.items():
        if text in left:
            found.append(name)
            left = left.replace(text, "")
    left = left.strip("; ")
    restrictions = []
    if any("-nc" in name for name in found) or "not commercial" in left:
        restrictions.append("forbids commercial use")
    if any("-nd" in name for name in found):
        restrictions.append("forbids sharing what is made from it")
    if "research" in left or "academic" in left or "by request" in left:
        restrictions.append("allows research alone, and does not say that models may be shared")
    elif left or not found:
        restrictions.append("is not known to allow that models are shared")
    name = found[0] if len(found) == 1 and not left else OTHER
    own = (re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-") or "unknown") if name == OTHER else ""
    return Terms(hub_name=name, own_name=own, restrictions=tuple(restrictions))
