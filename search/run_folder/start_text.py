"""The model whose weights a run began with, in words: for terminal, pages and model cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.wording import count


def start_sentences(start: Mapping[str, Any] | None, classes: Sequence[str] | None = None) -> str:
    """What the first weights are and what they have seen; "" for a run whose weights began at random or on a hub.

    Args:
        start: as `result.json` and a model's `config.json` hold it.
        classes: of the run, to say whether its classifier is new; None of a finished model, of which it is said what
            the other had seen of its test, where no caveat says so.
    """
    if not start:
        return ""
    seen = list(start["seen"])
    chain = list(dict.fromkeys(each["model"] for each in seen)) or [start["source"]]
    links = [_link(model, [each for each in seen if each["model"] == model]) for model in chain]
    if classes is None:
        more = _heard(start)
    else:
        more = " The classifier is new, since the classes differ." if [*classes] != [*start["classes"]] else ""
    return f"The first weights are those of {'; that model began with '.join(links)}.{more}"


def _heard(start: Mapping[str, Any]) -> str:
    """What it had seen of the run's own test."""
    clips = [count(start["test_clips"], "clip")] if start["test_clips"] else []
    names = [f"speakers {', '.join(start['test_speakers'])}"] if start["test_speakers"] else []
    heard = " and ".join([*clips, *names])
    return f" Of the test in the run that began with it, it had seen {heard}." if heard else ""


def _link(model: str, seen: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        f"{'trained' if each['trained'] else 'tuned by a search'} on {each['corpus']}"
        f"{' (synthetic)' if each['synthetic'] else ''}{_heads(each['speakers'])}"
        for each in seen
    ]
    # Runs give the folders of their models like names, so that of the run tells them apart.
    shown = "/".join(Path(model).parts[-3:])
    return f"{shown}, {' and '.join(parts) or 'which does not say what it was trained on'}"


def _heads(speakers: Sequence[str]) -> str:
    return f", {count(len(speakers), 'speaker')}" if speakers else ""
