"""What is asked before a model is shared."""

from __future__ import annotations

from typing import Any

import pytest

from search.hub.consent import consent_to_share, licence_section
from ser_core.config import ConfigError


def about(licence: str) -> dict[str, Any]:
    return {"corpus": {"name": "speech", "licence": licence}}


@pytest.mark.parametrize("licence", ["MIT", "CC BY 4.0", "CC0 1.0"])
def test_a_free_corpus_asks_nothing(licence: str) -> None:
    consent = consent_to_share(about(licence), None, None)
    assert not consent.asked
    assert licence_section(consent).endswith(f"The model comes under the licence of speech: {licence}.")


def test_whoever_can_be_asked_is_asked() -> None:
    questions: list[str] = []

    def yes(question: str) -> bool:
        questions.append(question)
        return True

    consent = consent_to_share(about("research only"), None, yes)
    assert questions == [
        "The model was trained on speech: its licence, research only, allows research alone, and does not say that "
        "models may be shared. May you publish this model?"
    ]
    assert "confirmed that they may share it" in licence_section(consent)
    with pytest.raises(ConfigError, match="nothing was published"):
        consent_to_share(about("research only"), None, lambda question: False)


def test_a_licence_that_nobody_knows_is_accepted_as_such() -> None:
    for said in (about(""), {}):
        with pytest.raises(
            ConfigError, match=r"is not known to allow that models are shared.*--accept-licence 'unknown'"
        ):
            consent_to_share(said, None, None)
        assert consent_to_share(said, "unknown", None).asked
