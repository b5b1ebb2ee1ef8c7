"""Protocols: several splits of one corpus, its folds, that test every speaker between them, all but one kind once.

    emobox, luna        published folds, which each corpus's module lists
    kfold:K             K groups of speakers, as alike in clips, classes and genders as can be
    loso                one speaker at a time
    logo:COLUMN         one group of a column at a time: a language, a session, a gender
    pairs:COLUMN        one group of a column trains at a time, and all others test: every pair of two groups

One fold is named after its protocol: `emobox:2`, `kfold:5:2`, `loso:ANN`, `logo:language:de`,
`pairs:corpus:emodb`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ser_core.clips import Manifest
from ser_core.protocol_names import KFOLD, LOGO, LOSO, PAIRS, PUBLISHED
from ser_core.speaker_groups import balanced_groups
from ser_core.split_rules import SplitError, some
from ser_core.suggestions import did_you_mean


def fold_names(protocol: str, manifest: Manifest) -> tuple[str, ...]:
    """The folds of a protocol, in order.

    Raises:
        SplitError: a number of folds, or a column, by which the corpus cannot be divided.
        CorpusError: no such column.
    """
    name, _, rest = protocol.partition(":")
    if name in PUBLISHED:
        return tuple(f"{name}:{number}" for number in range(1, len(published_folds(name, manifest)) + 1))
    if name == KFOLD:
        return tuple(f"{protocol}:{number}" for number in range(1, _fold_count(rest, manifest) + 1))
    words = _speakers(manifest) if name == LOSO else sorted(set(_column(manifest, rest, name).tolist()))
    return tuple(f"{protocol}:{word}" for word in words)


def published_folds(protocol: str, manifest: Manifest) -> tuple[tuple[str, ...], ...]:
    """Test speakers of each fold that a protocol publishes for the corpus of these speakers.

    Raises:
        SplitError: a corpus that it publishes none for, or speakers who are missing or others'.
    """
    from ser_core.corpora import corpora, corpus_module  # loads torch, which lists of protocols do not need

    known: dict[str, tuple[tuple[str, ...], ...]] = {
        name: folds[protocol] for name in corpora() if protocol in (folds := getattr(corpus_module(name), "FOLDS", {}))
    }
    speakers = set(manifest.speakers.tolist())
    for folds in known.values():
        if {speaker for fold in folds for speaker in fold} == speakers:
            return folds
    shared = {name: len(speakers & {speaker for fold in folds for speaker in fold}) for name, folds in known.items()}
    likely = manifest.corpus if manifest.corpus in known else max(shared, key=lambda name: shared[name])
    wanted = {speaker for fold in known[likely] for speaker in fold}
    others = "" if protocol != "emobox" else ". EmoBox divides other corpora by clips, so that speakers are mixed"
    raise SplitError(
        f"split {protocol} is defined for {', '.join(known)}; {manifest.corpus} lacks "
        f"{some(sorted(wanted - speakers)) or 'none'} of {likely}'s speakers and has others: "
        f"{some(sorted(speakers - wanted)) or 'none'}. Use --split speaker or {KFOLD}:K{others}"
    )


def tested_rows(manifest: Manifest, fold: str, seed: int) -> np.ndarray | None:
    """Which clips a fold of `kfold`, `loso`, `logo` or `pairs` tests: (clips,) bool; None for any other split.

    Args:
        manifest: with its clips in the order of their ids.
        seed: of the groups of speakers.

    Raises:
        SplitError, CorpusError: no such fold.
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


def _of_value(manifest: Manifest, rest: str, _seed: int) -> np.ndarray:
    return _in_group(manifest, LOGO, "tests", rest)


def _of_others(manifest: Manifest, rest: str, _seed: int) -> np.ndarray:
    return ~_in_group(manifest, PAIRS, "trains on", rest)


def _in_group(manifest: Manifest, protocol: str, does: str, rest: str) -> np.ndarray:
    column, _, value = rest.partition(":")
    values = _column(manifest, column, protocol)
    known = sorted(set(values.tolist()))
    if value not in known:
        raise SplitError(
            f"split {protocol}:{column} {does} one of {some(known)}, as in {protocol}:{column}:{known[0]}; got "
            f"{value!r}"
        )
    return np.asarray(values == value)


_TESTED: Mapping[str, Callable[[Manifest, str, int], np.ndarray]] = {
    KFOLD: _of_group,
    LOSO: _of_speaker,
    LOGO: _of_value,
    PAIRS: _of_others,
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


def _column(manifest: Manifest, name: str, protocol: str) -> np.ndarray:
    """What every clip has in a column by which a protocol divides: (clips,) str.

    Raises:
        CorpusError: no such column.
        SplitError: a clip without a value, one value for all, or a speaker with several.
    """
    values = manifest.column(name)
    if lacking := [clip.shown for clip, value in zip(manifest.clips, values.tolist(), strict=True) if not value]:
        known = [column for column in ("gender", *manifest.columns) if all(manifest.column(column))]
        raise SplitError(
            f"split {protocol}:{name} needs a {name} for every clip; {len(lacking)} of {len(values)} have none: "
            f"{some(lacking)}. Columns that all clips have: {', '.join(known) or 'none'}"
        )
    if len(set(values.tolist())) < 2:
        raise SplitError(
            f"split {protocol}:{name} needs two groups or more; every clip of {manifest.corpus} is {values[0]}"
        )
    pairs = sorted(set(zip(manifest.speakers.tolist(), values.tolist(), strict=True)))
    groups: dict[str, list[str]] = {}
    for speaker, value in pairs:
        groups.setdefault(speaker, []).append(value)
    if shared := [f"{speaker} ({', '.join(own)})" for speaker, own in groups.items() if len(own) > 1]:
        raise SplitError(
            f"split {protocol}:{name} would train on test speakers: these have more than one {name}: {some(shared)}. "
            f"Use {LOSO} or {KFOLD}:K"
        )
    return values
