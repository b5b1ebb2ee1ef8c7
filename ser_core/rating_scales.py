"""Ratings of several corpora on one scale: which each corpus has, and what becomes of its numbers.

Listeners of IEMOCAP marked 1 to 5, those of MSP-Podcast 1 to 7. Scales differ in their ends and their steps, and both
ends mean the same; so numbers are mapped linearly, end to end, onto the scale of the first corpus. Numbers alone do not
say which scale they are on, since few clips lie at its ends: a corpus says it (`SCALE`), or whoever uses it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ser_core.clips import CorpusError, Manifest, Ratings
from ser_core.corpora import corpora, corpus_module

FORM = "--scale NAME=LOW:HIGH, with commas between several, and NAME/DIMENSION=LOW:HIGH for one dimension alone"


@dataclass(frozen=True)
class Scale:
    """The lowest and the highest rating that a listener could give."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Which ratings (clips,) lie on it: (clips,) bool."""
        inside: np.ndarray = (values >= self.low) & (values <= self.high)
        return inside

    def onto(self, other: Scale, values: np.ndarray) -> np.ndarray:
        """Ratings (clips,) of this scale as ones of another, exactly as they are where both are the same."""
        if self == other:
            return values
        return other.low + (values - self.low) * (other.high - other.low) / (self.high - self.low)


def scales_in(text: str) -> dict[str, Scale]:
    """What a value of `--scale` says: name of a corpus, or of that and one dimension, -> scale.

    Raises:
        CorpusError: another form, bounds that are not in order, or one name twice.
    """
    found: dict[str, Scale] = {}
    for item in text.split(",") if text else ():
        name, _, bounds = (part.strip() for part in item.rpartition("="))
        low, colon, high = bounds.partition(":")
        try:
            scale = Scale(float(low), float(high))
        except ValueError:
            colon, scale = "", Scale(0.0, 0.0)
        if not (name and colon and math.isfinite(scale.low) and math.isfinite(scale.high) and scale.low < scale.high):
            raise CorpusError(f"--scale {text}: expected {FORM}, such as msp=1:7; got {item.strip() or 'nothing'}")
        if name in found:
            raise CorpusError(f"--scale {text}: {name} has a scale twice")
        found[name] = scale
    return found


def on_one_scale(rated: Sequence[Manifest], given: Mapping[str, Scale]) -> tuple[Ratings, str]:
    """The ratings of several corpora, one corpus after another, on the scales of the first.

    Args:
        rated: with ratings of the same dimensions. given: see `scales_in`; it goes before what a corpus says itself.

    Returns:
        Ratings (clips of all, dimensions), and what became of whose: "msppodcast: 1 to 7 as 1 to 5"; "" where all
        scales are the same.

    Raises:
        CorpusError: a corpus whose scale nobody says, ratings that lie outside, a name that no corpus has.
    """
    sources = [(corpus, corpus.ratings) for corpus in rated if corpus.ratings is not None]
    _, first = sources[0]
    places = {f"{corpus.corpus}/{name}" for corpus, _ in sources for name in first.names}
    if unknown := [name for name in given if name not in {*places, *(corpus.corpus for corpus, _ in sources)}]:
        names = ", ".join(corpus.corpus for corpus, _ in sources)
        raise CorpusError(f"--scale names {', '.join(unknown)}; the corpora are {names}, with {', '.join(first.names)}")
    scales = [[_scale_of(corpus.corpus, name, given) for name in first.names] for corpus, _ in sources]
    _refuse_unknown([corpus.corpus for corpus, _ in sources], first.names, scales)
    values, said = [], []
    for (corpus, ratings), own in zip(sources, scales, strict=True):
        columns = []
        for name, scale, to, column in zip(first.names, own, scales[0], ratings.values.T, strict=True):
            if scale is None or to is None:
                continue  # `_refuse_unknown` has refused it
            if not (inside := scale.holds(column)).all():
                row = int(np.flatnonzero(~inside)[0])
                raise CorpusError(
                    f"{corpus.corpus}: {name} should be {scale}; {corpus.clips[row].shown} has {column[row]:g}. Say "
                    f"the right one with --scale {corpus.corpus}/{name}=LOW:HIGH"
                )
            columns.append(scale.onto(to, column))
            if scale != to:
                said.append(f"{corpus.corpus}: {name}, {scale}, as {to}")
        values.append(np.stack(columns, axis=1))
    return Ratings(kind=first.kind, names=first.names, values=np.concatenate(values)), "; ".join(said)


def _scale_of(corpus: str, dimension: str, given: Mapping[str, Scale]) -> Scale | None:
    for name in (f"{corpus}/{dimension}", corpus):
        if name in given:
            return given[name]
    known = getattr(corpus_module(corpus), "SCALE", {}) if corpus in corpora() else {}
    return Scale(*known[dimension]) if dimension in known else None


def _refuse_unknown(names: Sequence[str], dimensions: Sequence[str], scales: Sequence[Sequence[Scale | None]]) -> None:
    lacking = {
        name: [dimension for dimension, scale in zip(dimensions, own, strict=True) if scale is None]
        for name, own in zip(names, scales, strict=True)
    }
    if unsaid := [name for name, own in lacking.items() if own]:
        raise CorpusError(
            f"ratings of several corpora are learnt on one scale, and numbers do not say which they are on: give the "
            f"lowest and the highest rating of {', '.join(unsaid)} ({', '.join(lacking[unsaid[0]])}), as in --scale "
            f"{','.join(f'{name}=1:7' for name in unsaid)}"
        )
