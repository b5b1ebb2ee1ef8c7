"""Protocols: several splits of one corpus, its folds, that test every speaker once between them.

    emobox, luna        the published folds of RAVDESS
    kfold:K             K groups of speakers, as alike in clips, classes and genders as can be
    loso                one speaker at a time

One fold is named after its protocol: `emobox:2`, `kfold:5:2`, `loso:ANN`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ser_core.clips import Manifest
from ser_core.speaker_groups import balanced_groups
from ser_core.split_rules import SplitError
from ser_core.suggestions import did_you_mean

PUBLISHED_FOLDS = {
    # Ma et al. 2024, "EmoBox", arXiv 2406.07162; data/ravdess/fold_* of its repository
    "emobox": ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22)),
    # Luna-Jiménez et al. 2021, Sensors 21(22) 7665, subject-wise 5-fold
    "luna": ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24), (1, 4, 9, 22)),
}
"""Test actors of RAVDESS per fold, as published."""

KFOLD, LOSO = "kfold", "loso"
PROTOCOL_NAMES = (*PUBLISHED_FOLDS, f"{KFOLD}:K", LOSO)
"""As messages name them."""


def is_protocol(split: str) -> bool:
    """True for the name of a protocol, with or without its number or column; False for one fold of it."""
    name, _, rest = split.partition(":")
    if name == KFOLD:
        return ":" not in rest
    return split in (*PUBLISHED_FOLDS, LOSO)


def fold_names(protocol: str, manifest: Manifest) -> tuple[str, ...]:
    """The folds of a protocol, in order.

    Raises:
        SplitError: a number of folds by which the corpus cannot be divided.
    """
    name, _, rest = protocol.partition(":")
    if name in PUBLISHED_FOLDS:
        return tuple(f"{name}:{number}" for number in range(1, len(PUBLISHED_FOLDS[name]) + 1))
    if name == KFOLD:
        return tuple(f"{protocol}:{number}" for number in range(1, _fold_count(rest, manifest) + 1))
    return tuple(f"{LOSO}:{speaker}" for speaker in _speakers(manifest))


def tested_rows(manifest: Manifest, fold: str, seed: int) -> np.ndarray | None:
    """Which clips a fold of `kfold` or `loso` tests: (clips,) bool; None for a split that is none of these.

    Args:
        manifest: with its clips in the order of their ids.
        seed: of the groups of speakers.

    Raises:
        SplitError: no such fold.
    """
    name, _, rest = fold.partition(":")
    return _TESTED[name](manifest, rest, seed) if name in _TESTED else None


def _of_group(manifest: Manifest, rest: str, seed: int) -> np.ndarray:
    number, _, fold = rest.partition(":")
    count = _fold_count(number, manifest)
    if fold not in map(str, range(1, count + 1)):
        raise SplitError(f"split {KFOLD}:{count} has folds 1 to {count}, as in {KFOLD}:{count}:1; got {KFOLD}:{rest}")
    return balanced_groups(manifest, np.arange(len(manifest.clips)), count, seed) == int(fold) - 1


def _of_speaker(manifest: Manifest, speaker: str, _seed: int) -> np.ndarray:
    names = _speakers(manifest)
    if speaker not in names:
        raise SplitError(
            f"split {LOSO} tests one speaker, as in {LOSO}:{names[0]}; {manifest.corpus} has no {speaker!r}"
            f"{did_you_mean(speaker, names)}"
        )
    return np.asarray(manifest.speakers == speaker)


_TESTED: Mapping[str, Callable[[Manifest, str, int], np.ndarray]] = {
    KFOLD: _of_group,
    LOSO: _of_speaker,
}


def _speakers(manifest: Manifest) -> list[str]:
    names = sorted(set(manifest.speakers.tolist()))
    if len(names) < 3:
        raise SplitError(
            f"split {LOSO} needs at least 3 speakers: one to test, one to validate, one to train on; "
            f"{manifest.corpus} has {len(names)}: {', '.join(names)}"
        )
    return names


def _fold_count(text: str, manifest: Manifest) -> int:
    """The K of `kfold:K`."""
    speakers = len(set(manifest.speakers.tolist()))
    if not (text.isdecimal() and int(text) >= 2):
        raise SplitError(f"split {KFOLD}:K takes a whole number of at least 2, as {KFOLD}:5; got {KFOLD}:{text}")
    if int(text) > speakers:
        raise SplitError(
            f"split {KFOLD}:{text} needs as many speakers as folds; {manifest.corpus} has {speakers}. Use "
            f"{KFOLD}:{speakers} or fewer"
        )
    return int(text)
