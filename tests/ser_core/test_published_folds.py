"""Folds that EmoBox publishes, against what its lists hold: how many, and how many speakers and clips each tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_core.clips import Clip, Manifest, order_classes
from ser_core.corpora import corpora, corpus_module
from ser_core.protocols import fold_names
from ser_core.split_rules import SplitError
from ser_core.splits import make_split

TESTED = {
    "cafe": [4, 4, 4],
    "casia": [1, 1, 1, 1],
    "emovo": [1, 1, 1, 1, 1, 1],
    "esd": [4, 4, 4, 4, 4],
    "iemocap": [2, 2, 2, 2, 2],
    "jlcorpus": [1, 1, 1, 1],
    "polish": [1, 1, 1, 1, 1],
    "ravdess": [4, 4, 4, 4, 4, 4],
    "savee": [1, 1, 1, 1],
    "subesco": [4, 4, 4, 4, 4],
}
"""Speakers that each fold tests, counted in data/*/fold_*/*_test_fold_*.jsonl of EmoBox's repository."""

CLIPS_OF_A_SPEAKER = {"cafe": 78, "casia": 300, "emovo": 98, "esd": 1_750, "jlcorpus": 600, "polish": 90, "savee": 120}
CLIPS_OF_A_SPEAKER |= {"ravdess": 60, "subesco": 350}
CLIPS_OF_A_FOLD = {"cafe": 312, "casia": 300, "emovo": 98, "esd": 7_000, "jlcorpus": 600, "polish": 90, "savee": 120}
CLIPS_OF_A_FOLD |= {"ravdess": 240, "subesco": 1_400}
"""As these lists count; IEMOCAP's sessions differ from one another."""


def corpus_of(name: str, clips: int = 1) -> Manifest:
    """So many clips of each emotion by every speaker of a corpus' folds, whose genders the corpus gives."""
    speakers = [speaker for fold in corpus_module(name).FOLDS["emobox"] for speaker in fold]
    words = ("happy", "sad", "angry")
    made = [
        Clip(clip_id=f"{speaker}-{word}-{take}", path=Path("x"), speaker=speaker, emotion=word)
        for speaker in speakers
        for word in words
        for take in range(clips)
    ]
    return Manifest(corpus=name, clips=tuple(made), classes=order_classes(set(words)))


def test_the_corpora_with_folds_are_those_whose_speakers_emobox_keeps_apart() -> None:
    assert [name for name in corpora() if "emobox" in getattr(corpus_module(name), "FOLDS", {})] == list(TESTED)


@pytest.mark.parametrize("name", TESTED)
def test_every_fold_tests_as_many_speakers_as_emobox_and_each_speaker_once(name: str) -> None:
    folds = corpus_module(name).FOLDS["emobox"]
    assert [len(fold) for fold in folds] == TESTED[name]
    speakers = [speaker for fold in folds for speaker in fold]
    assert len(set(speakers)) == len(speakers)


@pytest.mark.parametrize("name", CLIPS_OF_A_FOLD)
def test_every_fold_tests_as_many_clips_as_emobox(name: str) -> None:
    folds = corpus_module(name).FOLDS["emobox"]
    assert {len(fold) * CLIPS_OF_A_SPEAKER[name] for fold in folds} == {CLIPS_OF_A_FOLD[name]}


@pytest.mark.parametrize("name", TESTED)
def test_splits_test_the_published_speakers_and_validate_on_others(name: str) -> None:
    manifest = corpus_of(name)
    assert fold_names("emobox", manifest) == tuple(f"emobox:{number}" for number in range(1, len(TESTED[name]) + 1))
    for number, fold in enumerate(corpus_module(name).FOLDS["emobox"], 1):
        split = make_split(manifest, f"emobox:{number}", 0)
        assert set(manifest.speakers[split.test].tolist()) == set(fold)
        assert len(split.validation)
        assert len(split.train)


def test_a_corpus_that_emobox_divides_by_clips_is_refused() -> None:
    clips = [
        Clip(clip_id=f"{speaker}-{word}", path=Path("x"), speaker=speaker, emotion=word)
        for speaker in ("03", "08", "09", "10")
        for word in ("happy", "sad")
    ]
    manifest = Manifest(corpus="emodb", clips=tuple(clips), classes=("happy", "sad"))
    with pytest.raises(
        SplitError, match=r"emodb lacks .*EmoBox divides other corpora by clips, so that speakers are m"
    ):
        make_split(manifest, "emobox:1", 0)
