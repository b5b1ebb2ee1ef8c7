"""Several corpora as one: emotions in common words, and clips and speakers whose names carry their corpus.

Corpora name emotions differently. A word that all of them have stays. One that some lack becomes the word beside it in
`COMMON_WORDS`; emotions that then some still lack are left out, since no model could learn or be tested on them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ser_core.clips import CorpusError, Manifest, order_classes
from ser_core.corpora import Progress, load_corpus
from ser_core.splits import Fold
from ser_core.targets import EMOTION

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
    progress: Progress | None = None,
) -> Manifest:
    """One corpus, or several joined; arguments as for `load_corpus`.

    Raises:
        CorpusError: see `load_corpus` and `joined`; several corpora of ratings or votes.
    """
    load = partial(load_corpus, skip_bad=skip_bad, cache_dir=cache_dir, progress=progress)
    if len(names) == 1:
        return load(names[0], classes=classes, target=target)
    if target != EMOTION:
        raise CorpusError(
            f"--target {target}: corpora have scales and listeners of their own, so {' and '.join(names)} are not "
            f"joined; write one manifest with ratings on one scale"
        )
    return joined([load(name, classes=None) for name in names], classes)


def joined(corpora: Sequence[Manifest], classes: str | None = None) -> Manifest:
    """Several corpora as one, named after all of them, with the column `CORPUS`.

    Their own splits are not taken over. With `classes` (see `Manifest.with_classes`; in common words) an emotion may be
    one that a corpus lacks.

    Raises:
        CorpusError: two corpora of one name, or fewer than two emotions that all have.
    """
    names = [corpus.corpus for corpus in corpora]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise CorpusError(
            f"corpora to be joined must have different names, which manifests take from their files; there are several "
            f"called {', '.join(twice)}"
        )
    words = _common_words(corpora)
    whole = replace(
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
    )
    return whole.with_classes(classes) if classes is not None else _of_all(whole, corpora, words)


def _common_words(corpora: Sequence[Manifest]) -> dict[str, str]:
    """Words that not all corpora have -> their common words, where there are any."""
    shared = set.intersection(*(set(corpus.classes) for corpus in corpora))
    all_words = {word for corpus in corpora for word in corpus.classes}
    return {word: COMMON_WORDS[word] for word in sorted(all_words - shared) if word in COMMON_WORDS}


def _of_all(whole: Manifest, corpora: Sequence[Manifest], words: Mapping[str, str]) -> Manifest:
    """The clips of emotions that all corpora have; what is left out or renamed is logged."""
    has = [{words.get(word, word) for word in corpus.classes} for corpus in corpora]
    kept = order_classes(set.intersection(*has))
    if len(kept) < 2:
        lists = "; ".join(f"{one.corpus} has {', '.join(sorted(own))}" for one, own in zip(corpora, has, strict=True))
        raise CorpusError(
            f"corpora to be joined need two emotions or more in common: {lists}. Name and merge them with --classes"
        )
    lost = Counter(clip.emotion for clip in whole.clips if clip.emotion not in kept)
    if words:
        _log.warning("%s: %s", whole.corpus, ", ".join(f"{word} is taken as {to}" for word, to in words.items()))
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
