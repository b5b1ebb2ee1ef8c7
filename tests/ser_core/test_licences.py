"""Licences of corpora: what hubs call them, and whether they restrict sharing."""

from __future__ import annotations

import pytest

from ser_core.corpora import corpora, corpus_module
from ser_core.licences import terms_of

FREE = {"MIT", "CC BY 4.0", "CC0 1.0", "GPL-3.0", "Open Database License 1.0; contents: Database Contents License 1.0"}


@pytest.mark.parametrize("name", corpora())
def test_the_licence_of_every_corpus_is_free_or_restricts(name: str) -> None:
    licence = corpus_module(name).LICENCE
    terms = terms_of(licence)
    assert bool(terms.restrictions) == (licence not in FREE)
    assert (terms.hub_name == "other") == bool(terms.own_name)


@pytest.mark.parametrize(
    ("licence", "hub_name", "restrictions"),
    [
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0", ["forbids commercial use"]),
        ("CC BY-NC-ND 4.0", "cc-by-nc-nd-4.0", ["forbids commercial use", "forbids sharing what is made from it"]),
        ("MIT; CC BY 4.0", "other", []),
        ("MIT; CC BY-NC-SA 4.0", "other", ["forbids commercial use"]),
        ("CC BY 4.0; research only", "other", ["allows research alone, and does not say that models may be shared"]),
        ("", "other", ["is not known to allow that models are shared"]),
        ("my own rules", "other", ["is not known to allow that models are shared"]),
    ],
)
def test_several_licences_hold_together_and_what_is_unknown_restricts(
    licence: str, hub_name: str, restrictions: list[str]
) -> None:
    terms = terms_of(licence)
    assert (terms.hub_name, list(terms.restrictions)) == (hub_name, restrictions)


def test_a_licence_without_a_name_of_the_hub_gets_one_of_letters() -> None:
    assert terms_of("Research only, by request!").own_name == "research-only-by-request"
    assert terms_of("").own_name == "unknown"
