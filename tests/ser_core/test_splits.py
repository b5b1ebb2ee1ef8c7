"""Who trains, validates and tests: the promises of every kind of split, over made and published corpora."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_core.clips import Clip, Manifest, order_classes
from ser_core.corpora.ravdess import FOLDS
from ser_core.split_rules import SplitError
from ser_core.splits import Split, inner_folds, make_split, most_inner_folds

EMOTIONS = ("neutral", "happy", "sad", "angry")
PUBLISHED = [f"{name}:{fold}" for name, folds in FOLDS.items() for fold in range(1, len(folds) + 1)]


def manifest_of(clips: list[Clip]) -> Manifest:
    return Manifest(corpus="made", clips=tuple(clips), classes=order_classes({clip.emotion for clip in clips}))


def clips_of(speaker: str, *, takes: int = 3, emotions: tuple[str, ...] = EMOTIONS, **fields: str | None) -> list[Clip]:
    names = [(f"{speaker}-{emotion}-{take}", emotion) for emotion in emotions for take in range(takes)]
    return [Clip(clip_id=name, path=Path(name), speaker=speaker, emotion=word, **fields) for name, word in names]


@cache
def ravdess() -> Manifest:
    """RAVDESS without its audio: 60 clips each of 24 actors, 4 of them neutral and 8 of every other emotion."""
    clips = []
    for actor in range(1, 25):
        gender = "male" if actor % 2 else "female"
        clips += clips_of(f"{actor:02d}", takes=4, emotions=("neutral",), gender=gender)
        rest = ("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
        clips += clips_of(f"{actor:02d}", takes=8, emotions=rest, gender=gender)
    return manifest_of(clips)


def speakers(manifest: Manifest, rows: np.ndarray) -> set[str]:
    return {manifest.clips[row].speaker for row in rows}


def ids(manifest: Manifest, split: Split) -> list[set[str]]:
    parts = (split.train, split.validation, split.test)
    return [{manifest.clips[row].clip_id for row in rows} for rows in parts]


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Three to twelve speakers with every emotion, of known or unknown gender and with unequal numbers of clips."""
    clips = []
    for number in range(draw(st.integers(3, 12))):
        gender = draw(st.sampled_from(["female", "male", None]))
        clips += clips_of(f"s{number}", takes=draw(st.integers(1, 6)), gender=gender)
    return manifest_of(draw(st.permutations(clips)))


@given(manifest=manifests(), seed=st.integers(0, 1000))
def test_speaker_split_is_disjoint_complete_and_has_every_class(manifest: Manifest, seed: int) -> None:
    split = make_split(manifest, "speaker", seed)
    rows = np.concatenate([split.train, split.validation, split.test])
    assert sorted(rows) == list(range(len(manifest.clips)))
    parts = [speakers(manifest, part) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    for part in (split.train, split.validation, split.test):
        assert part.dtype == np.int64
        assert set(manifest.labels[part]) == set(range(len(manifest.classes)))


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["speaker", "random", "emobox:3", "luna:5", "kfold:5:2"]))
def test_a_split_depends_on_the_seed_and_not_on_the_order(seed: int, kind: str) -> None:
    manifest = ravdess()
    order = np.random.default_rng(seed).permutation(len(manifest.clips))
    shuffled = replace(manifest, clips=tuple(manifest.clips[row] for row in order))
    split = make_split(manifest, kind, seed)
    assert ids(manifest, split) == ids(manifest, make_split(manifest, kind, seed))
    assert ids(manifest, split) == ids(shuffled, make_split(shuffled, kind, seed))


@pytest.mark.parametrize("kind", ["speaker", "random", "emobox:1"])
def test_another_seed_gives_another_split(kind: str) -> None:
    manifest = ravdess()
    assert len({frozenset(ids(manifest, make_split(manifest, kind, seed))[1]) for seed in range(5)}) > 1


@pytest.mark.parametrize("seed", range(5))
def test_speaker_split_of_ravdess_is_balanced(seed: int) -> None:
    manifest = ravdess()
    split = make_split(manifest, "speaker", seed)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [960, 240, 240]
    for part in (split.train, split.validation, split.test):
        assert {np.mean([manifest.clips[row].gender == "female" for row in part])} == {0.5}
        np.testing.assert_allclose(np.bincount(manifest.labels[part]) / len(part), [4 / 60, *[8 / 60] * 7])


def test_speaker_split_stratifies_unlike_speakers() -> None:
    """Half of the speakers are mostly sad, half mostly happy: each part should get both kinds."""
    clips = []
    for number in range(20):
        often, seldom = ("sad", "happy") if number % 2 else ("happy", "sad")
        clips += clips_of(f"s{number:02d}", takes=9, emotions=(often,))
        clips += clips_of(f"s{number:02d}", takes=1, emotions=(seldom,))
    manifest = manifest_of(clips)
    split = make_split(manifest, "speaker", 0)
    for part in (split.train, split.validation, split.test):
        assert abs(np.mean(manifest.labels[part]) - 0.5) < 0.15


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_folds(kind: str, seed: int) -> None:
    manifest = ravdess()
    split = make_split(manifest, kind, seed)
    name, fold = kind.split(":")
    assert speakers(manifest, split.test) == set(FOLDS[name][int(fold) - 1])
    validation = speakers(manifest, split.validation)
    assert sum(int(actor) % 2 for actor in validation) == 2
    assert len(validation) == 4
    assert split.speaker_independent


@pytest.mark.parametrize("name", FOLDS)
def test_published_folds_test_every_actor_once(name: str) -> None:
    assert sorted(actor for fold in FOLDS[name] for actor in fold) == [f"{actor:02d}" for actor in range(1, 25)]


@pytest.mark.parametrize("kind", ["emobox:0", "emobox:7", "emobox:", "emobox", "luna:6", "luna:1.0"])
def test_a_fold_that_was_not_published_is_refused(kind: str) -> None:
    with pytest.raises(SplitError, match=r"has folds 1 to \d"):
        make_split(ravdess(), kind, 0)


def test_published_folds_are_for_the_speakers_of_their_corpora_only() -> None:
    manifest = manifest_of([clip for name in ("01", "02", "20", "ann") for clip in clips_of(name)])
    expected = r"defined for cafe, .*ravdess, .* lacks 03, 04.* of ravdess's speakers and has others: ann.*mixed"
    with pytest.raises(SplitError, match=expected):
        make_split(manifest, "emobox:1", 0)


def test_random_split_is_stratified_and_says_what_it_is() -> None:
    manifest = ravdess()
    split = make_split(manifest, "random", 0)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [1152, 144, 144]
    assert not split.speaker_independent
    assert speakers(manifest, split.train) & speakers(manifest, split.test)
    for part in (split.validation, split.test):
        assert np.bincount(manifest.labels[part]).tolist() == pytest.approx([9.6, *[19.2] * 7], abs=1)


def test_random_split_refuses_a_class_too_small_to_divide() -> None:
    manifest = manifest_of([*clips_of("a", takes=10), *clips_of("b", takes=1, emotions=("calm",))])
    with pytest.raises(SplitError, match=r"cannot balance 41 clips of 5 classes"):
        make_split(manifest, "random", 0)


def test_too_few_speakers() -> None:
    with pytest.raises(SplitError, match=r"at least 3 speakers.*made has 2: ann, bob"):
        make_split(manifest_of([*clips_of("ann"), *clips_of("bob")]), "speaker", 0)


def test_a_class_of_too_few_speakers_is_named() -> None:
    clips = [clip for name in "abcdef" for clip in clips_of(name)] + clips_of("a", emotions=("disgust",))
    with pytest.raises(SplitError, match=r"every part needs every class; .*has no disgust.*--classes"):
        make_split(manifest_of(clips), "speaker", 0)


def test_unknown_kind() -> None:
    with pytest.raises(SplitError, match=r"unknown split 'leave-one'; known: speaker, manifest, random, emobox"):
        make_split(ravdess(), "leave-one", 0)


def given_parts(**part_of: str | None) -> Manifest:
    return manifest_of([clip for speaker, part in part_of.items() for clip in clips_of(speaker, part=part)])


def test_manifest_parts_are_kept() -> None:
    manifest = given_parts(a="train", b="train", c="validation", d="test")
    split = make_split(manifest, "manifest", 0)
    parts = [speakers(manifest, rows) for rows in (split.train, split.validation, split.test)]
    assert parts == [{"a", "b"}, {"c"}, {"d"}]


def test_missing_validation_is_taken_from_train_speakers() -> None:
    manifest = given_parts(a="train", b="train", c="train", d="test", e="test")
    split = make_split(manifest, "manifest", 0)
    assert speakers(manifest, split.test) == {"d", "e"}
    assert len(speakers(manifest, split.validation)) == 1
    assert speakers(manifest, split.development) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": "train", "b": None, "c": "test"}, "every clip needs a split .* 12 of 36 have none: b-angry-0"),
        ({"a": "train", "b": "validation"}, "no clip is marked test"),
        ({"a": "test"}, "no clip is marked train"),
        ({"a": "train", "b": "test"}, "validation speakers are taken from the train speakers.*got a"),
    ],
)
def test_manifest_parts_that_cannot_be_used(parts: dict[str, str | None], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        make_split(given_parts(**parts), "manifest", 0)


@pytest.mark.parametrize("shared", ["validation", "test"])
def test_a_speaker_in_two_parts_is_refused_whoever_made_the_split(shared: str) -> None:
    manifest = given_parts(ann="train", bob="train", cy="validation", di="test")
    leaked = replace(manifest.clips[0], part=shared)
    with pytest.raises(SplitError, match=r"a speaker may be in one part only; in several: ann"):
        make_split(replace(manifest, clips=(leaked, *manifest.clips[1:])), "manifest", 0)


def test_folds_never_hold_test_rows() -> None:
    manifest = ravdess()
    split = make_split(manifest, "speaker", 0)
    search, refit = split.search_fold(), split.refit_fold()
    assert np.array_equal(search.fit, split.train)
    assert np.array_equal(search.evaluate, split.validation)
    assert np.array_equal(refit.fit, np.sort(np.r_[split.train, split.validation]))
    assert refit.evaluate.shape == (0,)
    assert refit.evaluate.dtype == np.int64
    assert not set(split.test) & {*search.fit, *search.evaluate, *refit.fit}


def speakers_of(count: int) -> Manifest:
    return manifest_of([clip for number in range(count) for clip in clips_of(f"s{number:02d}")])


@settings(max_examples=30, deadline=None)
@given(speakers=st.integers(6, 14), count=st.integers(2, 4), seed=st.integers(0, 50))
def test_inner_folds_validate_every_development_clip_once(speakers: int, count: int, seed: int) -> None:
    manifest = speakers_of(speakers)
    split = make_split(manifest, "speaker", seed)
    folds = inner_folds(manifest, split, count, seed)
    assert len(folds) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.evaluate for fold in folds])), split.development)
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.fit, fold.evaluate])), split.development)
        assert not set(manifest.speakers[fold.fit]) & set(manifest.speakers[fold.evaluate])
        assert not set(manifest.speakers[split.test]) & set(manifest.speakers[fold.fit])
        assert set(manifest.labels[fold.evaluate]) == set(range(len(manifest.classes)))


def test_one_inner_fold_is_the_split_itself() -> None:
    manifest = speakers_of(6)
    split = make_split(manifest, "speaker", 0)
    (fold,) = inner_folds(manifest, split, 1, 0)
    np.testing.assert_array_equal(fold.fit, split.train)
    np.testing.assert_array_equal(fold.evaluate, split.validation)


def test_inner_folds_that_cannot_be_made_say_why() -> None:
    manifest = speakers_of(6)
    with pytest.raises(
        SplitError, match=r"9 inner folds need as many speakers besides the test speakers; there are \d"
    ):
        inner_folds(manifest, make_split(manifest, "speaker", 0), 9, 0)
    with pytest.raises(SplitError, match="2 inner folds keep speakers apart, which split random does not"):
        inner_folds(manifest, make_split(manifest, "random", 0), 2, 0)


@pytest.mark.parametrize(("kind", "speakers", "count"), [("speaker", 9, 5), ("speaker", 4, 3), ("random", 9, 1)])
def test_there_are_five_inner_folds_or_as_many_as_speakers_allow(kind: str, speakers: int, count: int) -> None:
    manifest = speakers_of(speakers)
    split = make_split(manifest, kind, 0)
    folds = most_inner_folds(manifest, split, 0)
    for fold, wanted in zip(folds, inner_folds(manifest, split, count, 0), strict=True):
        np.testing.assert_array_equal(fold.evaluate, wanted.evaluate)


def test_a_recording_in_two_inner_folds_is_refused() -> None:
    """It would be validated on what it was trained on."""
    manifest = speakers_of(6)
    split = make_split(manifest, "speaker", 0)
    first, *_, last = split.development.tolist()
    clips = tuple(
        replace(clip, content="same" if row in (first, last) else str(row)) for row, clip in enumerate(manifest.clips)
    )
    twice = replace(manifest, clips=clips)
    assert manifest.clips[first].speaker != manifest.clips[last].speaker
    count = len(set(manifest.speakers[split.development]))  # a fold for each speaker
    with pytest.raises(SplitError, match=rf"{count} inner folds: a recording may be in one part only"):
        inner_folds(twice, split, count, 0)


def test_a_class_of_one_speaker_is_named_with_its_speaker() -> None:
    clips = [clip for number in range(6) for clip in clips_of(f"s{number}")]
    manifest = manifest_of([*clips, *clips_of("s3", emotions=("calm",))])
    with pytest.raises(
        SplitError, match=r"every part needs every class; .*one speaker alone has calm \(s3\): leave the class out"
    ):
        make_split(manifest, "speaker", 0)


def test_one_class_alone_is_refused() -> None:
    clips = [clip for number in range(6) for clip in clips_of(f"s{number}", emotions=("happy",))]
    with pytest.raises(SplitError, match="at least two classes are needed; every clip of made is happy"):
        make_split(manifest_of(clips), "speaker", 0)


def test_a_class_with_one_clip_in_a_part_is_named(caplog: pytest.LogCaptureFixture) -> None:
    manifest = given_parts(ann="train", bob="validation", cy="test")
    kept = [clip for clip in manifest.clips if not (clip.speaker == "cy" and clip.clip_id.endswith(("sad-1", "sad-2")))]
    make_split(manifest_of(kept), "manifest", 0)
    assert "split manifest: one clip alone is there of sad in test; its recall is 0 or 100 %" in caplog.text


@pytest.mark.parametrize("seed", range(8))
def test_copies_of_a_recording_stay_together_in_a_random_split(seed: int) -> None:
    clips = [replace(clip, content=str(max(row, 5))) for row, clip in enumerate(speakers_of(10).clips)]
    manifest = manifest_of(clips)
    split = make_split(manifest, "random", seed)
    part_of = {row: name for name in ("train", "validation", "test") for row in getattr(split, name).tolist()}
    (copies,) = manifest.repeated()
    assert len(copies) == 6
    assert len({part_of[row] for row in copies}) == 1
