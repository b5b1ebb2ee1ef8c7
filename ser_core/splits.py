"""Who trains, who validates, who tests.

Every split but `random` keeps speakers apart: the same model scores 10 to 21 points of UAR higher on voices that it has
heard. A split is a function of the clips' ids, speakers and emotions and of the seed, not of their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_core.clips import Manifest
from ser_core.protocol_names import KFOLD, LOGO, LOSO, PAIRS, PROTOCOL_NAMES, PUBLISHED
from ser_core.protocols import published_folds, tested_rows
from ser_core.speaker_groups import drawn_groups
from ser_core.split_rules import SplitError, check_classes, check_recordings, check_speakers, some
from ser_core.targets import DIMENSIONS

PARTS = ("train", "validation", "test")
SINGLE_SPLITS = ("speaker", "manifest", "random")
SPEAKER_SHARES = (0.70, 0.15, 0.15)
RANDOM_SHARES = (0.80, 0.10, 0.10)
PUBLISHED_VALIDATION = 4
"""Validation actors of RAVDESS, which neither names: half female, half male, drawn from the others."""
MOST_INNER_FOLDS = 5
"""Of the development speakers, where nothing asks for another number."""

_RAVDESS_SPEAKERS = tuple(f"{actor:02d}" for actor in range(1, 25))


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What one training run may see: rows to fit on and rows to evaluate on (int64; the latter may be empty)."""

    fit: np.ndarray
    evaluate: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows of a manifest by part: each (rows,) int64, ascending."""

    kind: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def speaker_independent(self) -> bool:
        """False when test speakers may have been heard in training."""
        return self.kind != "random"

    @property
    def development(self) -> np.ndarray:
        """Rows that the search and the refit may see: train and validation, ascending."""
        return np.sort(np.concatenate([self.train, self.validation]))

    def search_fold(self) -> Fold:
        """Fit on train, evaluate on validation."""
        return Fold(fit=self.train, evaluate=self.validation)

    def refit_fold(self) -> Fold:
        """Fit on train and validation, evaluate on nothing."""
        return Fold(fit=self.development, evaluate=np.empty(0, dtype=np.int64))


def inner_folds(manifest: Manifest, split: Split, count: int, seed: int) -> tuple[Fold, ...]:
    """The folds on which a search scores a configuration; none holds a test row.

    Args:
        count: 1 for the split's own train and validation parts; more divide the speakers of both parts together into
            that many groups, balanced as well as speakers allow, each of which validates once.
        seed: of the division.

    Raises:
        SplitError: fewer speakers than folds, a class that a fold cannot validate or train on, or several folds of a
            split that mixes speakers.
    """
    if count == 1:
        return (split.search_fold(),)
    if not split.speaker_independent:
        raise SplitError(f"{count} inner folds keep speakers apart, which split {split.kind} does not; use --folds 1")
    rows = split.development
    speakers = len(set(manifest.speakers[rows].tolist()))
    if speakers < count:
        raise SplitError(f"{count} inner folds need as many speakers besides the test speakers; there are {speakers}")
    groups = drawn_groups(manifest, rows, range(count), [1 / count] * count, seed)
    folds = tuple(Fold(fit=rows[groups != group], evaluate=rows[groups == group]) for group in range(count))
    parts = {f"fold {number}": fold.evaluate for number, fold in enumerate(folds, 1)}
    check_recordings(f"{count} inner folds", parts, manifest)
    for number, fold in enumerate(folds, 1):
        for verb, own in (("train on", fold.fit), ("validate", fold.evaluate)):
            lacking = sorted(set(range(len(manifest.classes))) - set(manifest.labels[own].tolist()))
            if lacking:
                words = [manifest.classes[label] for label in lacking]
                raise SplitError(
                    f"inner fold {number} of {count} has no {some(words)} to {verb}; use fewer folds, or leave the "
                    f"class out with --classes"
                )
    return folds


def most_inner_folds(manifest: Manifest, split: Split, seed: int) -> tuple[Fold, ...]:
    """Inner folds, as many as the speakers and classes allow, up to `MOST_INNER_FOLDS`; see `inner_folds`.

    That is one, the split's own parts, where no two are possible.
    """
    for count in range(MOST_INNER_FOLDS, 1, -1):
        try:
            return inner_folds(manifest, split, count, seed)
        except SplitError:
            continue
    return inner_folds(manifest, split, 1, seed)


def make_split(manifest: Manifest, kind: str, seed: int) -> Split:
    """Divide a manifest.

    Args:
        manifest: the clips.
        kind: "speaker" (disjoint speakers, about 70/15/15 by clips, classes and genders balanced as well as speakers
            allow), "random" (80/10/10 by clips, classes balanced, speakers shared), "manifest" (the parts that the
            clips bring; without validation, it is taken from the train speakers), or a fold of a protocol: "emobox:1"
            or "luna:1" (as published for some corpora), "kfold:5:2" (the second of five groups of speakers tests, see
            `balanced_groups`), "loso:ANN" (she does), "logo:language:de" (clips of that language do),
            "pairs:language:de" (clips of all others do). Some of the other speakers validate.
        seed: of every draw.

    Raises:
        SplitError: an unknown kind, one class alone (of emotions), too few speakers, a corpus that a published fold is
            not for, a speaker in two parts (other than "random"), a recording in two parts, or a class that is missing
            from one; the test part of the last three may lack one, since all folds are scored together.
    """
    if len(manifest.classes) < 2 and manifest.target.kind != DIMENSIONS:
        raise SplitError(f"at least two classes are needed; every clip of {manifest.corpus} is {manifest.classes[0]}")
    ids = [clip.clip_id for clip in manifest.clips]
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__))
    by_id = manifest.take(order)
    name, _, fold = kind.partition(":")
    if kind == "speaker":
        parts = _by_speaker(by_id, seed)
    elif kind == "random":
        parts = _at_random(by_id, seed)
    elif kind == "manifest":
        parts = _as_given(by_id, seed)
    elif name in PUBLISHED:
        parts = _published(by_id, name, fold, seed)
    elif (tested := tested_rows(by_id, kind, seed)) is not None:
        parts = _but_tested(by_id, tested, seed)
    else:
        raise SplitError(f"unknown split {kind!r}; known: {', '.join((*SINGLE_SPLITS, *PROTOCOL_NAMES))}")
    rows = {part: np.sort(order[parts == part]).astype(np.int64) for part in PARTS}
    split = Split(kind=kind, **rows)
    if split.speaker_independent:
        check_speakers(f"split {kind}", rows, manifest)
    check_recordings(f"split {kind}", rows, manifest)
    pooled = name in (KFOLD, LOSO, LOGO, PAIRS)  # clips of all folds are scored together: one may lack a class
    check_classes(f"split {kind}", {part: rows[part] for part in PARTS if part != "test" or not pooled}, manifest)
    return split


def _by_speaker(manifest: Manifest, seed: int) -> np.ndarray:
    names = sorted(set(manifest.speakers.tolist()))
    if len(names) < 3:
        raise SplitError(
            f"split speaker needs at least 3 speakers, one per part; {manifest.corpus} has {len(names)}: "
            f"{', '.join(names)}. Use --split random, whose score does not hold for new speakers"
        )
    return drawn_groups(manifest, np.arange(len(manifest.clips)), PARTS, SPEAKER_SHARES, seed)


def _at_random(manifest: Manifest, seed: int) -> np.ndarray:
    from sklearn.model_selection import train_test_split  # takes 1.7 s, and every worker imports this module

    parts = np.full(len(manifest.clips), "train", dtype=object)
    rest = np.arange(len(manifest.clips))
    for part, share in zip(("test", "validation"), (RANDOM_SHARES[2], RANDOM_SHARES[1]), strict=True):
        size = round(share * len(manifest.clips))
        try:
            rest, taken = train_test_split(rest, test_size=size, stratify=manifest.labels[rest], random_state=seed)
        except ValueError as error:
            raise SplitError(
                f"split random cannot balance {len(manifest.clips)} clips of {len(manifest.classes)} classes: {error} "
                f"Leave small classes out with --classes"
            ) from error
        parts[taken] = part
    for rows in manifest.repeated():  # two clips of RAVDESS are one recording
        parts[rows] = parts[rows[0]]
    return parts


def _published(manifest: Manifest, name: str, fold: str, seed: int) -> np.ndarray:
    folds = published_folds(name, manifest)
    if fold not in map(str, range(1, len(folds) + 1)):
        raise SplitError(f"split {name} has folds 1 to {len(folds)}, as in {name}:1; got {name}:{fold}")
    tested = set(folds[int(fold) - 1])
    if set(manifest.speakers.tolist()) != set(_RAVDESS_SPEAKERS):
        return _but_tested(manifest, np.isin(manifest.speakers, sorted(tested)), seed)
    part_of = {actor: "test" if actor in tested else "train" for actor in _RAVDESS_SPEAKERS}
    generator = np.random.default_rng(seed)
    for parity in (0, 1):  # actors with even numbers are female
        others = [actor for actor in _RAVDESS_SPEAKERS if actor not in tested and int(actor) % 2 == parity]
        part_of |= dict.fromkeys(generator.permutation(others)[: PUBLISHED_VALIDATION // 2].tolist(), "validation")
    return np.array([part_of[speaker] for speaker in manifest.speakers], dtype=object)


def _but_tested(manifest: Manifest, tested: np.ndarray, seed: int) -> np.ndarray:
    """Parts where these clips (clips,) bool test: some of the other speakers validate, the rest trains."""
    parts = np.full(len(tested), "test", dtype=object)
    rest = np.flatnonzero(~tested)
    parts[rest] = _draw_validation(manifest, rest, seed)
    return parts


def _as_given(manifest: Manifest, seed: int) -> np.ndarray:
    parts = np.array([clip.part for clip in manifest.clips], dtype=object)
    without = [clip.shown for clip in manifest.clips if clip.part is None]
    if without:
        raise SplitError(
            f"split manifest: every clip needs a split (train, validation or test); {len(without)} of {len(parts)} "
            f"have none: {some(without)}"
        )
    absent = [part for part in ("train", "test") if part not in parts]
    if absent:
        raise SplitError(f"split manifest: no clip is marked {' or '.join(absent)}")
    if "validation" not in parts:
        train = np.flatnonzero(parts == "train")
        parts[train] = _draw_validation(manifest, train, seed)
    return parts


def _draw_validation(manifest: Manifest, rows: np.ndarray, seed: int) -> np.ndarray:
    """Divide development rows by speaker into train and validation, in the proportion that `speaker` uses."""
    names = sorted(set(manifest.speakers[rows].tolist()))
    if len(names) < 2:
        raise SplitError(
            f"validation speakers are taken from the train speakers, of whom 2 are needed; got {some(names)}"
        )
    share = SPEAKER_SHARES[1] / (SPEAKER_SHARES[0] + SPEAKER_SHARES[1])
    return drawn_groups(manifest, rows, PARTS[:2], (1 - share, share), seed)
