"""Several corpora as one: emotions in common words, and clips and speakers whose names carry their corpus.

Corpora name emotions differently. A word that all of them have stays. One that some lack becomes the word beside it in
`COMMON_WORDS`; emotions that then some still lack are left out, since no model could learn or be tested on them. So it
is with votes for them. Ratings are mapped onto one scale, see `ser_core.rating_scales`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ser_core.clips import CorpusError, Manifest, order_classes
from ser_core.corpora import Progress, Wanted, load_corpus, read_corpus
from ser_core.rating_scales import Scale, on_one_scale, on_own_scale, scales_in
from ser_core.ratings import voted, voted_words, with_votes_for
from ser_core.splits import Fold
from ser_core.targets import DIMENSIONS, EMOTION, VOTES, kind_of

CORPUS = "corpus"
"""The column that says of which corpus a clip is."""

COMMON_WORDS: Mapping[str, str] = {
    "calm": "neutral",  # RAVDESS has both; Livingstone & Russo 2018 call calm a second neutral baseline
    "excited": "happy",  # as the four classes of IEMOCAP are usually formed (Busso et al. 2008)
    "amused": "happy",
    "joyful": "happy",
    "elated": "happy",
    "annoyed": "angry",
    "hot anger": "angry",
    "cold anger": "angry",
    "anxious": "fearful",
    "panic": "fearful",
    "despair": "sad",
}
"""A corpus' word -> the word that stands for it beside corpora without it."""

_log = logging.getLogger(__name__)


def named_corpora(data: str) -> list[str]:
    """The corpora that a value of `--data` names: several with commas between, unless a file has that very name."""
    if Path(data).expanduser().exists():
        return [data]
    return [each.strip() for each in data.split(",") if each.strip()] or [data]


def load_corpora(
    names: Sequence[str],
    *,
    skip_bad: bool,
    classes: str | None,
    cache_dir: Path,
    target: str = EMOTION,
    scale: str = "",
    progress: Progress | None = None,
) -> Manifest:
    """One corpus, or several joined.

    Args:
        scale: of ratings, see `ser_core.rating_scales.scales_in`.
        The others: see `load_corpus`.

    Raises:
        CorpusError: see `load_corpus`, `joined`, `joined_votes`, `on_own_scale` and `joined_ratings`; a scale where no
            ratings are predicted.
    """
    means: dict[str, Any] = {"skip_bad": skip_bad, "cache_dir": cache_dir, "progress": progress}
    kind = kind_of(target)
    if scale and kind != DIMENSIONS:
        raise CorpusError(f"--scale {scale} is for ratings, as of --target arousal,valence; leave it out")
    if len(names) == 1:
        corpus = load_corpus(names[0], classes=classes, target=target, **means)
        return on_own_scale(corpus, scales_in(scale)) if kind == DIMENSIONS else corpus
    if kind == VOTES:
        wanted = Wanted.of(target, classes)
        return joined_votes([read_corpus(name, wanted=wanted, **means) for name in names], classes)
    if kind == DIMENSIONS:
        rated = [load_corpus(name, classes=classes, target=target, **means) for name in names]
        return joined_ratings(rated, scales_in(scale))
    return joined([load_corpus(name, classes=None, **means) for name in names], classes)


def joined(corpora: Sequence[Manifest], classes: str | None = None) -> Manifest:
    """Several corpora as one, named after all of them, with the column `CORPUS`.

    Their own splits are not taken over. With `classes` (see `Manifest.with_classes`; in common words) an emotion may be
    one that a corpus lacks.

    Raises:
        CorpusError: two corpora of one name, or fewer than two emotions that all have.
    """
    words = _common_words([corpus.classes for corpus in corpora])
    whole = _together(corpora, words)
    return whole.with_classes(classes) if classes is not None else _of_all(whole, corpora, words)


def joined_votes(corpora: Sequence[Manifest], classes: str | None = None) -> Manifest:
    """Several corpora with columns of votes as one: votes for emotions in common words, others left out.

    With `classes` (see `ser_core.ratings.voted`; in common words) nobody need have been able to vote for an emotion in
    all corpora.

    Raises:
        CorpusError: see `joined` and `voted`.
    """
    each = [voted_words(corpus) for corpus in corpora]
    words = _common_words(each)
    has = [{words.get(word, word) for word in own} for own in each]
    kept = set.union(*has) if classes is not None else _shared(corpora, has)
    _log_words("+".join(corpus.corpus for corpus in corpora), words)
    if lost := sorted(set.union(*has) - kept):
        _log.warning(
            "%s: votes for %s do not count, since not all corpora have them", corpora[0].corpus, ", ".join(lost)
        )
    own_words = [{word: words.get(word, word) for word in own if words.get(word, word) in kept} for own in each]
    whole = _together([with_votes_for(corpus, own) for corpus, own in zip(corpora, own_words, strict=True)], {})
    return voted(whole, classes)


def joined_ratings(corpora: Sequence[Manifest], scales: Mapping[str, Scale]) -> Manifest:
    """Several corpora with ratings of the same dimensions as one, on the scale of the first.

    Raises:
        CorpusError: two corpora of one name; see also `on_one_scale`.
    """
    ratings, mapped = on_one_scale(corpora, scales)
    whole = _together(corpora, {})
    if mapped:
        _log.warning("%s: ratings are mapped onto one scale: %s", whole.corpus, mapped)
    return replace(whole, ratings=ratings, mapped=mapped)


def _together(corpora: Sequence[Manifest], words: Mapping[str, str]) -> Manifest:
    """All clips, under names that carry their corpus, with all columns, and without the corpora's own splits.

    Args:
        words: of some emotions -> those that they are taken as.
    """
    names = [corpus.corpus for corpus in corpora]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise CorpusError(
            f"corpora to be joined must have different names, which manifests take from their files; there are several "
            f"called {', '.join(twice)}"
        )
    return replace(
        corpora[0],
        corpus="+".join(names),
        clips=tuple(
            replace(
                clip,
                clip_id=f"{corpus.corpus}/{clip.clip_id}",
                speaker=f"{corpus.corpus}/{clip.speaker}",
                emotion=words.get(clip.emotion, clip.emotion),
                part=None,
            )
            for corpus in corpora
            for clip in corpus.clips
        ),
        classes=order_classes({words.get(word, word) for corpus in corpora for word in corpus.classes}),
        skipped=tuple(item for corpus in corpora for item in corpus.skipped),
        synthetic=any(corpus.synthetic for corpus in corpora),
        licence="; ".join(dict.fromkeys(corpus.licence for corpus in corpora if corpus.licence)),
        citation=" ".join(dict.fromkeys(corpus.citation for corpus in corpora if corpus.citation)),
        columns=_columns(corpora),
        ratings=None,
    )


def _common_words(each: Sequence[Sequence[str]]) -> dict[str, str]:
    """Words that not all corpora have -> their common words, where there are any; `each`: of one corpus."""
    shared = set.intersection(*map(set, each))
    all_words = {word for own in each for word in own}
    return {word: COMMON_WORDS[word] for word in sorted(all_words - shared) if word in COMMON_WORDS}


def _shared(corpora: Sequence[Manifest], has: Sequence[set[str]]) -> set[str]:
    """The emotions that all corpora have, of those that each `has` in common words."""
    kept = set.intersection(*has)
    if len(kept) < 2:
        lists = "; ".join(f"{one.corpus} has {', '.join(sorted(own))}" for one, own in zip(corpora, has, strict=True))
        raise CorpusError(
            f"corpora to be joined need two emotions or more in common: {lists}. Name and merge them with --classes"
        )
    return kept


def _log_words(corpus: str, words: Mapping[str, str]) -> None:
    if words:
        _log.warning("%s: %s", corpus, ", ".join(f"{word} is taken as {to}" for word, to in words.items()))


def _of_all(whole: Manifest, corpora: Sequence[Manifest], words: Mapping[str, str]) -> Manifest:
    """The clips of emotions that all corpora have; what is left out or renamed is logged."""
    kept = order_classes(_shared(corpora, [{words.get(word, word) for word in corpus.classes} for corpus in corpora]))
    lost = Counter(clip.emotion for clip in whole.clips if clip.emotion not in kept)
    _log_words(whole.corpus, words)
    if lost:
        named = ", ".join(f"{word} ({count} clips)" for word, count in sorted(lost.items()))
        _log.warning("%s: left out, since not all corpora have them: %s", whole.corpus, named)
    rows = [row for row, clip in enumerate(whole.clips) if clip.emotion in kept]
    return replace(whole.take(rows), classes=kept)


def _columns(corpora: Sequence[Manifest]) -> dict[str, np.ndarray]:
    """All columns of all corpora, "" where one lacks a column, and the corpus itself."""
    names = dict.fromkeys(name for corpus in corpora for name in corpus.columns if name != CORPUS)
    columns = {CORPUS: [np.full(len(corpus.clips), corpus.corpus, dtype=object) for corpus in corpora]}
    for name in names:
        columns[name] = [corpus.columns.get(name, np.full(len(corpus.clips), "", dtype=object)) for corpus in corpora]
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def balanced(fold: Fold, manifest: Manifest, column: str, seed: int) -> Fold:
    """The fold with as many rows to fit on from each group of a column as the largest has: others stand there again.

    Every row of a smaller group is there equally often, but for a remainder that is drawn.

    Raises:
        CorpusError: no such column.
    """
    values = manifest.column(column)[fold.fit]
    groups = [fold.fit[values == value] for value in sorted(set(values.tolist()))]
    most, generator = max(map(len, groups)), np.random.default_rng(seed)
    rows = [
        np.concatenate([np.tile(own, most // len(own)), generator.permutation(own)[: most % len(own)]])
        for own in groups
    ]
    return replace(fold, fit=np.sort(np.concatenate(rows)))
