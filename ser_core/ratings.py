"""From columns of a manifest to what is predicted: ratings of dimensions, or shares of votes for classes."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ser_core.clips import (
    NO_AGREEMENT,
    RATED,
    CorpusError,
    Manifest,
    Ratings,
    SkippedFile,
    class_groups,
    emotion_word,
    order_classes,
)
from ser_core.targets import DIMENSIONS, VOTES

VOTES_FOR = "votes_"
"""Before an emotion, it heads the column of the votes for it: `votes_angry`."""

_log = logging.getLogger(__name__)


def dimensions_in(target: str) -> tuple[str, ...]:
    """The columns that a value of `--target` names.

    Raises:
        CorpusError: no column, or one twice.
    """
    names = tuple(name.strip().lower() for name in target.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise CorpusError(f"--target {target}: name columns of numbers, each once, such as arousal,valence")
    return names


def without_numbers(manifest: Manifest, dimensions: Sequence[str]) -> list[SkippedFile]:
    """Clips without a number in each of these columns, with reasons.

    Raises:
        CorpusError: a column that no clip has.
    """
    lacking = [name for name in dimensions if name not in manifest.columns]
    if lacking:
        known = ", ".join(name for name, values in manifest.columns.items() if _are_numbers(values)) or "none"
        raise CorpusError(
            f"--target {','.join(dimensions)}: {manifest.corpus} has no column {', '.join(lacking)}; columns of "
            f"numbers: {known}"
        )
    found = []
    for row, clip in enumerate(manifest.clips):
        texts = {name: manifest.columns[name][row] for name in dimensions}
        if bad := [f"{name} {text!r}" for name, text in texts.items() if not math.isfinite(_number(text))]:
            found.append(SkippedFile(path=clip.path, reason=f"{clip.shown}: a rating must be a number; got {bad[0]}"))
    return found


def rated(manifest: Manifest, dimensions: Sequence[str]) -> Manifest:
    """The clips with their ratings, those without a number left out; splits have no classes to balance.

    Raises:
        CorpusError: no clip with all ratings, or a dimension in which all are alike.
    """
    values = np.array([[_number(text) for text in manifest.columns[name]] for name in dimensions]).T
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    kept = manifest.take(rows)
    values = values[rows]
    if still := [name for name, own in zip(dimensions, values.T, strict=True) if np.ptp(own) == 0]:
        raise CorpusError(
            f"{manifest.corpus}: all clips have the same {', '.join(still)}, so nothing can be learnt of it"
        )
    return replace(
        kept,
        clips=tuple(replace(clip, emotion=RATED) for clip in kept.clips),
        classes=(RATED,),
        columns={name: own for name, own in kept.columns.items() if name not in dimensions},
        ratings=Ratings(kind=DIMENSIONS, names=tuple(dimensions), values=values),
    )


def rating_columns(manifest: Manifest) -> dict[str, np.ndarray]:
    """What the manifest's file would hold of its ratings or votes: name -> (clips,) str objects."""
    if manifest.ratings is None:
        return {}
    prefix = VOTES_FOR if manifest.ratings.kind == VOTES else ""
    texts = np.array(
        [[np.format_float_positional(value, trim="-") for value in row] for row in manifest.ratings.values],
        dtype=object,
    )
    return {f"{prefix}{name}": texts[:, place] for place, name in enumerate(manifest.ratings.names)}


def voted(manifest: Manifest, classes: str | None) -> Manifest:
    """The clips with their shares of votes, each as of the emotion that most voted for.

    Where no emotion has most votes there is no agreement: such clips are left out, unless `classes` names
    `NO_AGREEMENT`, of which they are then, whole.

    Args:
        manifest: with columns `votes_…`.
        classes: see `Manifest.with_classes`; votes for words that it does not name do not count.

    Raises:
        CorpusError: no votes, a number of votes that is none, or words that nobody voted for.
    """
    columns = _vote_columns(manifest)
    words = voted_words(manifest)
    counts = np.zeros((len(manifest.clips), len(words)))
    for name, texts in columns.items():
        counts[:, words.index(emotion_word(name.removeprefix(VOTES_FOR)))] += _votes(name, texts)
    known = (*words, NO_AGREEMENT)
    groups = class_groups(classes, known, manifest.corpus) if classes else {word: (word,) for word in words}
    undecided = groups.pop(NO_AGREEMENT, None) is not None
    if any(NO_AGREEMENT in own for own in groups.values()):
        raise CorpusError(f"--classes {classes}: nobody votes for {NO_AGREEMENT}; it is a class of its own, or none")
    counts = np.stack([counts[:, [words.index(word) for word in own]].sum(axis=1) for own in groups.values()], axis=1)
    return _decided(manifest, counts, tuple(groups), undecided=undecided, columns=columns)


def voted_words(manifest: Manifest) -> tuple[str, ...]:
    """The emotions for which a column of a manifest has votes.

    Raises:
        CorpusError: none.
    """
    return order_classes({emotion_word(name.removeprefix(VOTES_FOR)) for name in _vote_columns(manifest)})


def with_votes_for(manifest: Manifest, words: Mapping[str, str]) -> Manifest:
    """The manifest with votes for other words: word -> what its votes are for, those of several together.

    Votes for a word that is not named are left out.

    Raises:
        CorpusError: no votes, or a number of votes that is none.
    """
    columns = _vote_columns(manifest)
    counts: dict[str, np.ndarray] = {}
    for name, texts in columns.items():
        if to := words.get(emotion_word(name.removeprefix(VOTES_FOR))):
            counts[to] = counts.get(to, 0) + _votes(name, texts)
    others = {name: values for name, values in manifest.columns.items() if name not in columns}
    told = {
        f"{VOTES_FOR}{word}": np.array([f"{count:.17g}" for count in own], dtype=object) for word, own in counts.items()
    }
    return replace(manifest, columns={**others, **told})


def _vote_columns(manifest: Manifest) -> dict[str, np.ndarray]:
    columns = {name: values for name, values in manifest.columns.items() if name.startswith(VOTES_FOR)}
    if not columns:
        raise CorpusError(
            f"--target votes: {manifest.corpus} has no votes: columns such as {VOTES_FOR}angry, or a line of the "
            f"manifest for each listener"
        )
    return columns


def _decided(
    manifest: Manifest, counts: np.ndarray, names: tuple[str, ...], *, undecided: bool, columns: Mapping[str, object]
) -> Manifest:
    """The manifest with shares of these votes (clips, names); see `voted`."""
    most = counts.max(axis=1)
    alone = (counts == most[:, None]).sum(axis=1) == 1
    split = (most > 0) & ~alone
    rows = np.flatnonzero((most > 0) & (alone | undecided))
    if (most == 0).any():
        _log.warning("%s: left out, since nobody voted for their classes: %d clips", manifest.corpus, (most == 0).sum())
    if split.any() and not undecided:
        _log.warning("%s: left out, since no emotion has most votes: %d clips", manifest.corpus, split.sum())
    emotions = np.array(names, dtype=object)[counts.argmax(axis=1)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if undecided:
        emotions[split] = NO_AGREEMENT
        shares = np.concatenate([np.where(split[:, None], 0.0, shares), split[:, None]], axis=1)
        names = (*names, NO_AGREEMENT)
    kept = manifest.take(rows)
    clips = tuple(replace(clip, emotion=str(word)) for clip, word in zip(kept.clips, emotions[rows], strict=True))
    return replace(
        kept,
        clips=clips,
        classes=names,
        columns={name: values for name, values in kept.columns.items() if name not in columns},
        ratings=Ratings(kind=VOTES, names=names, values=shares[rows]),
    )


def _votes(name: str, texts: np.ndarray) -> np.ndarray:
    """(clips,) numbers of a column; an empty cell is no vote."""
    numbers = np.array([_number(text) if text else 0.0 for text in texts])
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        bad = next(text for text, own in zip(texts, numbers, strict=True) if not own >= 0 or math.isinf(own))
        raise CorpusError(f"column {name}: votes are numbers from 0; got {bad!r}")
    return numbers


def _number(text: str) -> float:
    """NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _are_numbers(values: np.ndarray) -> bool:
    return all(math.isfinite(_number(text)) for text in values if text) and any(values)
