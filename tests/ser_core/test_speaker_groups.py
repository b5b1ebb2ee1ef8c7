"""Groups of speakers: none in two, none empty, and as alike as moves and exchanges make them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ser_core.clips import Clip, Manifest
from ser_core.speaker_groups import balanced_groups

CLASSES = ("happy", "sad", "angry")


def corpus_of(counts: list[list[int]], genders: list[str | None]) -> Manifest:
    """Speakers with so many clips of each class."""
    clips = [
        Clip(clip_id=f"{who:03d}-{word}-{take}", path=Path("x"), speaker=f"s{who:03d}", emotion=word, gender=gender)
        for who, (own, gender) in enumerate(zip(counts, genders, strict=True))
        for word, number in zip(CLASSES, own, strict=True)
        for take in range(number)
    ]
    return Manifest(corpus="made", clips=tuple(clips), classes=CLASSES)


@st.composite
def corpora(draw: st.DrawFn) -> Manifest:
    """Four to twelve speakers with unequal numbers of clips, each of one class or more."""
    people = draw(st.integers(4, 12))
    some = st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any)
    counts = draw(st.lists(some, min_size=people, max_size=people))
    genders = draw(st.lists(st.sampled_from(["female", "male", None]), min_size=people, max_size=people))
    return corpus_of(counts, genders)


def groups_of(manifest: Manifest, count: int, seed: int) -> dict[str, int]:
    """Speaker -> group, which must be one."""
    groups = balanced_groups(manifest, np.arange(len(manifest.clips)), count, seed)
    pairs = set(zip(manifest.speakers.tolist(), groups.tolist(), strict=True))
    assert len(pairs) == len({speaker for speaker, _ in pairs})
    return dict(pairs)


def imbalance(manifest: Manifest, groups: dict[str, int], count: int) -> float:
    """Sum of squares of the groups' shares of speakers, clips, classes and genders, as the docstring has it."""
    total = 0.0
    facts = [("all", *([c.emotion, f"gender {c.gender}"])) for c in manifest.clips]
    people = np.bincount(list(groups.values()), minlength=count) / len(groups)
    total += float((people**2).sum())
    for fact in {each for own in facts for each in own}:
        held = [groups[clip.speaker] for clip, own in zip(manifest.clips, facts, strict=True) if fact in own]
        total += float(((np.bincount(held, minlength=count) / len(held)) ** 2).sum())
    return total


@given(manifest=corpora(), count=st.integers(2, 4), seed=st.integers(0, 99))
def test_every_speaker_is_in_one_group_and_no_group_is_empty(manifest: Manifest, count: int, seed: int) -> None:
    groups = groups_of(manifest, count, seed)
    assert set(groups.values()) == set(range(count))
    assert groups == groups_of(manifest, count, seed)


@given(manifest=corpora(), count=st.integers(2, 4), seed=st.integers(0, 99))
def test_no_move_and_no_exchange_would_make_the_groups_more_alike(manifest: Manifest, count: int, seed: int) -> None:
    groups = groups_of(manifest, count, seed)
    least = imbalance(manifest, groups, count) - 1e-7
    for one, own in groups.items():
        for group in range(count):
            assert imbalance(manifest, {**groups, one: group}, count) >= least
        for other, its in groups.items():
            assert imbalance(manifest, {**groups, one: its, other: own}, count) >= least


@given(people=st.integers(4, 30), count=st.integers(2, 4), seed=st.integers(0, 99))
def test_equal_speakers_are_divided_evenly(people: int, count: int, seed: int) -> None:
    manifest = corpus_of([[2, 3, 1]] * people, [None] * people)
    sizes = np.bincount(list(groups_of(manifest, count, seed).values()), minlength=count)
    assert sizes.max() - sizes.min() <= 1


def test_groups_have_every_class_and_gender_in_equal_shares_where_speakers_allow() -> None:
    """Half of the speakers are mostly happy, half mostly sad, and half of each are women."""
    counts = [[9, 1, 4], [1, 9, 4]] * 10
    manifest = corpus_of(counts, ["female", "female", "male", "male"] * 5)
    rows = np.arange(len(manifest.clips))
    groups = balanced_groups(manifest, rows, 5, 0)
    for group in range(5):
        assert np.bincount(manifest.labels[groups == group]).tolist() == [20, 20, 16]
        assert sum(manifest.clips[row].gender == "female" for row in np.flatnonzero(groups == group)) == 28


def test_another_seed_divides_like_speakers_otherwise() -> None:
    manifest = corpus_of([[2, 2, 2]] * 12, [None] * 12)
    assert len({tuple(sorted(groups_of(manifest, 3, seed).items())) for seed in range(5)}) > 1
