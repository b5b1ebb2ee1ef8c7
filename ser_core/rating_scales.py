"""Ratings on one scale: which each corpus and each model has, and what becomes of a corpus' numbers on another.

Listeners of IEMOCAP marked 1 to 5, those of MSP-Podcast 1 to 7. Scales differ in their ends and their steps, and both
ends mean the same; so numbers are mapped linearly, end to end: those of several corpora onto the scale of the first,
those that a model is evaluated on onto the model's. Numbers alone do not say which scale they are on, since few clips
lie at its ends: a corpus says it (`SCALE`), or whoever uses it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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


def on_own_scale(rated: Manifest, given: Mapping[str, Scale]) -> Manifest:
    """One corpus whose ratings say on which scales they are, as far as that is known.

    Args:
        given: see `on_one_scale`.

    Raises:
        CorpusError: ratings that lie outside, a name that the corpus does not have.
    """
    ratings = _ratings(rated)
    _refuse_other_names([rated], given)
    scales = {name: scale for name in ratings.names if (scale := _scale_of(rated.corpus, name, given)) is not None}
    for name, scale in scales.items():
        _refuse_outside(rated, name, scale)
    return replace(rated, ratings=replace(ratings, scales={name: (own.low, own.high) for name, own in scales.items()}))


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
    _refuse_other_names(rated, given)
    each = [on_own_scale(corpus, _of_corpus(corpus.corpus, given)) for corpus in rated]
    _refuse_unknown(each)
    first = _ratings(each[0])
    mapped = [_onto(corpus, first.scales) for corpus in each]
    values = np.concatenate([own for own, _ in mapped])
    return replace(first, values=values), "; ".join(said for _, said in mapped if said)


def on_scale_of_model(rated: Manifest, scales: Mapping[str, tuple[float, float]]) -> tuple[Manifest, str]:
    """A corpus with its ratings on the scales of a model, and what had to be assumed of scales that nobody says.

    Args:
        rated: see `on_own_scale`. scales: of the model, as `Ratings` has them.

    Returns:
        The corpus, which says what was mapped; and for every dimension of which one scale is not known a sentence, ""
        where both always are.

    Raises:
        CorpusError: ratings of a corpus that does not say its scale lie outside the model's.
    """
    ratings = _ratings(rated)
    values, said = _onto(rated, scales)
    assumed = []
    for name in ratings.names:
        own, models = (Scale(*each[name]) if name in each else None for each in (ratings.scales, scales))
        if own is None and models is not None:
            _refuse_outside(rated, name, models)
            assumed.append(
                f"{rated.corpus} does not say on which scale its {name} is: taken for the model's, {models}."
            )
        elif own is not None and models is None:
            assumed.append(
                f"The model does not say on which scale its {name} is: taken for that of {rated.corpus}, {own}."
            )
        elif own is None:
            assumed.append(
                f"Neither the model nor {rated.corpus} says on which scale its {name} is: taken for the same."
            )
    mapped = "; ".join(filter(None, (rated.mapped, said)))
    known = {**ratings.scales, **{name: scales[name] for name in ratings.names if name in scales}}
    ratings = replace(ratings, values=values, scales=known)
    return replace(rated, ratings=ratings, mapped=mapped), " ".join(assumed)


def _ratings(rated: Manifest) -> Ratings:
    if rated.ratings is None:
        raise ValueError(f"{rated.corpus} was loaded without ratings")
    return rated.ratings


def _onto(rated: Manifest, scales: Mapping[str, tuple[float, float]]) -> tuple[np.ndarray, str]:
    """Ratings (clips, dimensions) on other scales, where both are known, and what was mapped."""
    ratings, columns, said = _ratings(rated), [], []
    for name, column in zip(ratings.names, ratings.values.T, strict=True):
        if name not in ratings.scales or name not in scales:
            columns.append(column)
            continue
        own, to = Scale(*ratings.scales[name]), Scale(*scales[name])
        columns.append(own.onto(to, column))
        if own != to:
            said.append(f"{rated.corpus}: {name}, {own}, as {to}")
    return np.stack(columns, axis=1), "; ".join(said)


def _of_corpus(corpus: str, given: Mapping[str, Scale]) -> dict[str, Scale]:
    return {name: scale for name, scale in given.items() if name.partition("/")[0] == corpus}


def _scale_of(corpus: str, dimension: str, given: Mapping[str, Scale]) -> Scale | None:
    for name in (f"{corpus}/{dimension}", corpus):
        if name in given:
            return given[name]
    known = getattr(corpus_module(corpus), "SCALE", {}) if corpus in corpora() else {}
    return Scale(*known[dimension]) if dimension in known else None


def _refuse_other_names(rated: Sequence[Manifest], given: Iterable[str]) -> None:
    names, dimensions = [corpus.corpus for corpus in rated], _ratings(rated[0]).names
    places = {f"{corpus}/{name}" for corpus in names for name in dimensions}
    if unknown := [name for name in given if name not in places.union(names)]:
        have = f"corpora are {', '.join(names)}" if len(names) > 1 else f"corpus is {names[0]}"
        raise CorpusError(f"--scale names {', '.join(unknown)}; the {have}, with {', '.join(dimensions)}")


def _refuse_outside(rated: Manifest, dimension: str, scale: Scale) -> None:
    """Raise `CorpusError` for a rating that no listener can have given."""
    ratings = _ratings(rated)
    column = ratings.values[:, ratings.names.index(dimension)]
    if not (inside := scale.holds(column)).all():
        row = int(np.flatnonzero(~inside)[0])
        raise CorpusError(
            f"{rated.corpus}: {dimension} should be {scale}; {rated.clips[row].shown} has {column[row]:g}. Say the "
            f"right one with --scale {rated.corpus}/{dimension}=LOW:HIGH"
        )


def _refuse_unknown(rated: Sequence[Manifest]) -> None:
    lacking = {
        corpus.corpus: [name for name in ratings.names if name not in ratings.scales]
        for corpus in rated
        for ratings in [_ratings(corpus)]
    }
    if unsaid := [corpus for corpus, own in lacking.items() if own]:
        raise CorpusError(
            f"ratings of several corpora are learnt on one scale, and numbers do not say which they are on: give the "
            f"lowest and the highest rating of {', '.join(unsaid)} ({', '.join(lacking[unsaid[0]])}), as in --scale "
            f"{','.join(f'{name}=1:7' for name in unsaid)}"
        )
