"""Whether a model may be shared: what the licence of its corpus says, and that whoever shares it knows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ser_core.config import ConfigError
from ser_core.licences import Terms, terms_of

UNKNOWN = "unknown"
"""What `--accept-licence` calls the licence of a corpus that states none."""


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What a model was trained on, and on whose word it is shared.

    Attributes:
        corpus: its name.
        licence: its text, "" where it is not known.
        asked: the licence restricts sharing, and whoever shares the model has confirmed that they may.
    """

    corpus: str
    licence: str
    terms: Terms
    asked: bool


def consent_to_share(about: Mapping[str, Any], accepted: str | None, confirm: Callable[[str], bool] | None) -> Consent:
    """Ask what must be asked before a model is shared.

    Args:
        about: of the model, see `ser_core.artifact.save_model`.
        accepted: the licence as the user has written it.
        confirm: asks a question; None where there is nobody to answer.

    Raises:
        ConfigError: the user declines, has accepted another licence, or cannot be asked.
    """
    corpus = about.get("corpus")
    known = corpus if isinstance(corpus, Mapping) else {}
    licence = str(known.get("licence", ""))
    consent = Consent(
        corpus=str(known.get("name", "a corpus that its folder does not name")),
        licence=licence,
        terms=terms_of(licence),
        asked=False,
    )
    if not consent.terms.restrictions:
        return consent
    wanted, said = licence or UNKNOWN, sentence(consent)
    if accepted is not None and accepted.strip().casefold() != wanted.casefold():
        raise ConfigError(
            f"--accept-licence must be {wanted!r}, the licence of {consent.corpus}; got {accepted!r}. {said}"
        )
    if accepted is None and confirm is None:
        raise ConfigError(f"{said} Publish the model only where you may, and say so with --accept-licence {wanted!r}")
    if accepted is None and confirm is not None and not confirm(f"{said} May you publish this model?"):
        raise ConfigError("nothing was published")
    return Consent(corpus=consent.corpus, licence=licence, terms=consent.terms, asked=True)


def sentence(consent: Consent) -> str:
    """What the licence says, in words."""
    licence = f"its licence, {consent.licence}," if consent.licence else "its licence"
    return f"The model was trained on {consent.corpus}: {licence} {', and '.join(consent.terms.restrictions)}."


def licence_section(consent: Consent) -> str:
    """What the card says of it, in Markdown."""
    if not consent.terms.restrictions:
        return f"## Licence\n\nThe model comes under the licence of {consent.corpus}: {consent.licence}."
    confirmed = " Whoever published the model confirmed that they may share it." if consent.asked else ""
    return f"## Licence\n\n{sentence(consent)}{confirmed} Whoever uses it is bound by the same terms."
