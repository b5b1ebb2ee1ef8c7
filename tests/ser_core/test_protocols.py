"""Protocols: their folds cover every clip once, keep speakers apart, and have validation speakers of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_core.clips import Clip, CorpusError, Manifest, order_classes
from ser_core.protocol_names import is_protocol, trained_group
from ser_core.protocols import fold_names
from ser_core.split_rules import SplitError
from ser_core.splits import Split, make_split

WORDS = ("happy", "sad", "angry")


def corpus_of(*speakers: str, takes: int = 2, words: tuple[str, ...] = WORDS) -> Manifest:
    clips = [
        Clip(clip_id=f"{speaker}-{word}-{take}", path=Path("x"), speaker=speaker, emotion=word)
        for speaker in speakers
        for word in words
        for take in range(takes)
    ]
    return Manifest(corpus="made", clips=tuple(clips), classes=order_classes(set(words)))


def splits_of(manifest: Manifest, protocol: str, seed: int = 0) -> list[Split]:
    return [make_split(manifest, name, seed) for name in fold_names(protocol, manifest)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Manifest, str]:
    people = draw(st.integers(4, 12))
    clips = [
        clip for number in range(people) for clip in corpus_of(f"s{number:02d}", takes=draw(st.integers(1, 4))).clips
    ]
    manifest = Manifest(corpus="made", clips=tuple(draw(st.permutations(clips))), classes=order_classes(set(WORDS)))
    return manifest, draw(st.sampled_from(["loso", *(f"kfold:{count}" for count in range(2, min(people, 6) + 1))]))


@given(case=cases(), seed=st.integers(0, 99))
def test_folds_test_every_clip_once_and_keep_speakers_apart(case: tuple[Manifest, str], seed: int) -> None:
    manifest, protocol = case
    splits = splits_of(manifest, protocol, seed)
    assert [split.kind for split in splits] == list(fold_names(protocol, manifest))
    assert sorted(row for split in splits for row in split.test.tolist()) == list(range(len(manifest.clips)))
    for split in splits:
        parts = [split.train, split.validation, split.test]
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(manifest.clips)))
        heard = [set(manifest.speakers[rows].tolist()) for rows in parts]
        assert sum(map(len, heard)) == len(set().union(*heard))
        assert all(heard)
        assert split.speaker_independent
        for rows in (split.train, split.validation):
            assert set(manifest.labels[rows]) == set(range(len(manifest.classes)))


@given(case=cases(), seed=st.integers(0, 99))
def test_folds_depend_on_the_seed_and_not_on_the_order(case: tuple[Manifest, str], seed: int) -> None:
    manifest, protocol = case
    turned = replace(manifest, clips=manifest.clips[::-1])

    def parts(own: Manifest) -> list[list[set[str]]]:
        return [
            [{own.clips[row].clip_id for row in rows} for rows in (split.train, split.validation, split.test)]
            for split in splits_of(own, protocol, seed)
        ]

    assert parts(manifest) == parts(turned) == parts(manifest)


def test_the_names_of_folds() -> None:
    manifest = corpus_of("bob", "ann", "cy", "d:1")
    assert fold_names("kfold:2", manifest) == ("kfold:2:1", "kfold:2:2")
    assert fold_names("loso", manifest) == ("loso:ann", "loso:bob", "loso:cy", "loso:d:1")
    with pytest.raises(SplitError, match=r"split luna is defined for ravdess; made lacks 01, 02"):
        fold_names("luna", manifest)
    split = make_split(manifest, "loso:d:1", 0)
    assert set(manifest.speakers[split.test].tolist()) == {"d:1"}


def test_which_splits_are_protocols() -> None:
    whole = ["emobox", "luna", "kfold:5", "kfold", "loso", "logo:language", "logo"]
    single = ["emobox:1", "kfold:5:2", "loso:ann", "logo:language:de", "speaker", "random", "manifest", ""]
    assert [name for name in (*whole, *single) if is_protocol(name)] == whole


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ("kfold:5:1", r"kfold:5 needs as many speakers as folds; made has 4\. Use kfold:4 or fewer"),
        ("kfold:1:1", r"takes a whole number of at least 2, as kfold:5; got kfold:1"),
        ("kfold:x:1", r"takes a whole number of at least 2, as kfold:5; got kfold:x"),
        ("kfold:2:3", r"kfold:2 has folds 1 to 2, as in kfold:2:1; got kfold:2:3"),
        ("kfold:2", r"kfold:2 has folds 1 to 2"),
        ("loso:anna", r"made has no 'anna'. Did you mean ann\?"),
    ],
)
def test_a_fold_that_there_is_not_is_refused(fold: str, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        make_split(corpus_of("ann", "bob", "cy", "di"), fold, 0)


def test_two_speakers_cannot_be_left_out_one_by_one() -> None:
    with pytest.raises(SplitError, match=r"loso needs at least 3 speakers.*made has 2: ann, bob"):
        fold_names("loso", corpus_of("ann", "bob"))


def with_column(manifest: Manifest, name: str, of: dict[str, str]) -> Manifest:
    return replace(manifest, columns={name: np.array([of[clip.speaker] for clip in manifest.clips], dtype=object)})


def test_one_group_of_a_column_is_left_out_at_a_time() -> None:
    people = {"ann": "de", "bob": "de", "cy": "en", "di": "en", "ed": "ur:pk"}
    manifest = with_column(corpus_of(*people), "language", people)
    assert fold_names("logo:language", manifest) == ("logo:language:de", "logo:language:en", "logo:language:ur:pk")
    tested = [set(manifest.speakers[split.test].tolist()) for split in splits_of(manifest, "logo:language")]
    assert tested == [{"ann", "bob"}, {"cy", "di"}, {"ed"}]
    with pytest.raises(SplitError, match=r"logo:language tests one of de, en, ur:pk, as in logo:language:de; got 'fr'"):
        make_split(manifest, "logo:language:fr", 0)


def test_one_group_of_a_column_is_trained_on_at_a_time_and_all_others_tested() -> None:
    people = {"ann": "de", "bob": "de", "cy": "en", "di": "en", "ed": "ur:pk", "flo": "ur:pk"}
    manifest = with_column(corpus_of(*people), "language", people)
    names = fold_names("pairs:language", manifest)
    assert names == ("pairs:language:de", "pairs:language:en", "pairs:language:ur:pk")
    assert [trained_group(name) for name in names] == [("language", each) for each in ("de", "en", "ur:pk")]
    assert [trained_group(name) for name in ("logo:language:de", "pairs:language", "speaker")] == [None] * 3
    for split, own in zip(splits_of(manifest, "pairs:language"), ("de", "en", "ur:pk"), strict=True):
        assert {people[name] for name in manifest.speakers[split.development]} == {own}
        assert set(people) - set(manifest.speakers[split.test]) == {name for name in people if people[name] == own}
        assert len(split.validation)
    with pytest.raises(SplitError, match=r"pairs:language trains on one of de, en, ur:pk, as in pairs:language:de"):
        make_split(manifest, "pairs:language:fr", 0)
    alone = with_column(corpus_of("ann", "bob", "cy"), "language", {"ann": "de", "bob": "de", "cy": "en"})
    with pytest.raises(SplitError, match=r"validation speakers are taken from the train speakers, of whom 2"):
        make_split(alone, "pairs:language:en", 0)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "session",
            r"needs a session for every clip; 6 of 18 have none: ann-happy-0.*Columns that all clips have: none",
        ),
        ("language", r"needs two groups or more; every clip of made is de"),
    ],
)
def test_a_column_that_makes_no_groups_is_refused(column: str, message: str) -> None:
    values = {"session": {"ann": "", "bob": "1", "cy": "2"}, "language": dict.fromkeys(("ann", "bob", "cy"), "de")}
    manifest = with_column(corpus_of("ann", "bob", "cy"), column, values[column])
    with pytest.raises(SplitError, match=message):
        fold_names(f"logo:{column}", manifest)


def test_a_group_that_shares_speakers_with_another_is_refused() -> None:
    manifest = corpus_of("ann", "bob", "cy")
    session = np.array([str(row % 2) for row in range(len(manifest.clips))], dtype=object)
    with pytest.raises(
        SplitError, match=r"would train on test speakers: these have more than one session: ann \(0, 1\)"
    ):
        fold_names("logo:session", replace(manifest, columns={"session": session}))
    with pytest.raises(CorpusError, match="made has no column 'age'"):
        fold_names("logo:age", manifest)


def test_a_fold_may_test_speakers_who_lack_a_class() -> None:
    """All folds are scored together; what trains and validates must have every class."""
    clips = [clip for name in ("ann", "bob", "cy") for clip in corpus_of(name).clips]
    manifest = Manifest(
        corpus="made", clips=(*clips, *corpus_of("di", words=("sad",)).clips), classes=("happy", "sad", "angry")
    )
    split = make_split(manifest, "loso:di", 0)
    assert set(manifest.labels[split.test]) == {1}
    few = replace(
        manifest, clips=tuple(c for c in manifest.clips if c.emotion != "angry" or c.speaker in ("ann", "bob"))
    )
    with pytest.raises(SplitError, match="split loso:ann: every part needs every class"):
        make_split(few, "loso:ann", 0)
