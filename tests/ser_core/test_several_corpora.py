"""Several corpora as one: common words, names that carry the corpus, and balanced training rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_core.clips import RATED, Clip, CorpusError, Manifest, order_classes
from ser_core.several_corpora import CORPUS, balanced, joined, joined_votes, named_corpora
from ser_core.splits import Fold, make_split
from ser_core.targets import Votes


def corpus_of(name: str, words: str, speakers: str = "abcd", *, takes: int = 2, part: str | None = None) -> Manifest:
    clips = [
        Clip(clip_id=f"{who}-{word}-{take}", path=Path(name), speaker=who, emotion=word, part=part)
        for who in speakers
        for word in words.split()
        for take in range(takes)
    ]
    return Manifest(corpus=name, clips=tuple(clips), classes=order_classes(set(words.split())), licence=f"of {name}")


def test_identities_carry_their_corpus() -> None:
    """Both have a speaker a, who are two persons."""
    whole = joined([corpus_of("one", "happy sad", part="test"), corpus_of("two", "happy sad")])
    assert whole.corpus == "one+two"
    assert whole.licence == "of one; of two"
    assert {"one/a", "two/a"} <= set(whole.speakers.tolist())
    assert whole.clips[0].clip_id == "one/a-happy-0"
    assert {clip.part for clip in whole.clips} == {None}
    assert whole.column(CORPUS).tolist() == ["one"] * 16 + ["two"] * 16
    split = make_split(whole, "logo:corpus:two", 0)
    assert {whole.clips[row].speaker[:3] for row in split.test} == {"two"}
    assert {whole.clips[row].speaker[:3] for row in split.development} == {"one"}


def test_words_that_a_corpus_lacks_become_common_ones_and_the_rest_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = joined([corpus_of("one", "neutral calm happy disgust"), corpus_of("two", "neutral happy")])
    assert whole.classes == ("neutral", "happy")
    assert np.bincount(whole.labels).tolist() == [16 + 8, 16]  # calm counts as neutral
    assert "calm is taken as neutral" in caplog.text
    assert "left out, since not all corpora have them: disgust (8 clips)" in caplog.text


def test_a_word_that_all_have_stays() -> None:
    whole = joined([corpus_of("one", "neutral calm happy"), corpus_of("two", "calm happy neutral")])
    assert whole.classes == ("neutral", "calm", "happy")


def test_asked_for_classes_may_be_those_of_one_corpus_alone() -> None:
    whole = joined([corpus_of("one", "neutral calm happy sad"), corpus_of("two", "happy neutral")], "neutral,sad,happy")
    assert whole.classes == ("neutral", "sad", "happy")
    assert np.bincount(whole.labels).tolist() == [24, 8, 16]


def test_columns_are_those_of_all_corpora() -> None:
    one, two = corpus_of("one", "happy sad", "ab"), corpus_of("two", "happy sad", "cd")
    language = np.array(["de"] * 8, dtype=object)
    whole = joined([one, replace(two, columns={"language": language, "corpus": language})])
    assert whole.column("language").tolist() == [""] * 8 + ["de"] * 8
    assert whole.column(CORPUS).tolist() == ["one"] * 8 + ["two"] * 8


def test_what_cannot_be_joined_says_why() -> None:
    with pytest.raises(CorpusError, match=r"must have different names.*several called one"):
        joined([corpus_of("one", "happy sad"), corpus_of("one", "happy sad")])
    with pytest.raises(CorpusError, match=r"two emotions or more in common: one has happy, sad; two has angry, happy"):
        joined([corpus_of("one", "happy sad"), corpus_of("two", "happy angry")])


def voted_corpus(name: str, **votes: str) -> Manifest:
    """Clips of as many speakers, with columns of votes."""
    lines = {word: own.split() for word, own in votes.items()}
    clips = tuple(
        Clip(clip_id=str(row), path=Path(name), speaker=str(row), emotion=RATED)
        for row in range(len(next(iter(lines.values()))))
    )
    columns = {f"votes_{word}": np.array(own, dtype=object) for word, own in lines.items()}
    return Manifest(corpus=name, clips=clips, classes=(RATED,), columns=columns)


def test_votes_are_joined_in_common_words_and_others_do_not_count() -> None:
    """Of one, calm becomes neutral, whose votes it has already; of two, nobody can vote for anger."""
    one = voted_corpus("one", neutral="2 0 0", calm="1 0 0", happy="1 0 1", angry="0 5 2")
    two = voted_corpus("two", neutral="3 1", happy="1 1")
    whole = joined_votes([one, two])
    assert whole.target == Votes(("neutral", "happy"))
    assert [clip.clip_id for clip in whole.clips] == ["one/0", "one/2", "two/0"]  # the others: no votes, and a tie
    np.testing.assert_allclose(whole.truth, [[0.75, 0.25], [0, 1], [0.75, 0.25]])
    assert whole.column(CORPUS).tolist() == ["one", "one", "two"]
    assert not any(name.startswith("votes_") for name in whole.columns)
    wider = joined_votes([one, two], "neutral,happy,angry")
    np.testing.assert_allclose(wider.truth, [[0.75, 0.25, 0], [0, 0, 1], [0, 1 / 3, 2 / 3], [0.75, 0.25, 0]])
    with pytest.raises(CorpusError, match=r"two emotions or more in common: one has .*; three has happy, sad"):
        joined_votes([one, voted_corpus("three", happy="1", sad="0")])
    with pytest.raises(CorpusError, match=r"--target votes: none has no votes"):
        joined_votes([one, corpus_of("none", "happy sad")])


def test_commas_name_several_corpora_unless_a_file_has_that_name(tmp_path: Path) -> None:
    assert named_corpora("ravdess, urdu.csv") == ["ravdess", "urdu.csv"]
    assert named_corpora("ravdess") == ["ravdess"]
    (tmp_path / "a,b").mkdir()
    assert named_corpora(str(tmp_path / "a,b")) == [str(tmp_path / "a,b")]


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=3), seed=st.integers(0, 99))
def test_balanced_rows_hold_every_clip_and_equally_many_of_each_group(sizes: list[int], seed: int) -> None:
    corpora = [corpus_of(f"c{number}", "happy sad", "ab", takes=takes) for number, takes in enumerate(sizes)]
    whole = joined(corpora)
    rows = np.arange(len(whole.clips))
    fold = balanced(Fold(fit=rows, evaluate=rows[:2]), whole, CORPUS, seed)
    _, counts = np.unique(whole.column(CORPUS)[fold.fit], return_counts=True)
    assert counts.tolist() == [4 * max(sizes)] * len(sizes)
    assert set(fold.fit.tolist()) == set(rows.tolist())
    assert fold.evaluate.tolist() == [0, 1]
    times = np.bincount(fold.fit)
    for name in set(whole.column(CORPUS).tolist()):
        own = times[whole.column(CORPUS) == name]
        assert own.max() - own.min() <= 1
