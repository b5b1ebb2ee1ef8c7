"""Ratings and votes of a manifest's clips, read from files and checked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_core.clips import NO_AGREEMENT, RATED, CorpusError, Manifest
from ser_core.corpora import load_corpus
from ser_core.ratings import rating_columns
from ser_core.splits import inner_folds, make_split
from ser_core.targets import Dimensions, Votes

RATE_HZ = 16_000


def written(folder: Path, name: str, lines: list[str]) -> Path:
    """A manifest, with a second of noise for each path."""
    for index, path in enumerate(sorted({line.split(",")[0] for line in lines[1:]})):
        noise = np.random.default_rng(index).normal(0, 0.1, RATE_HZ)
        soundfile.write(folder / path, noise, RATE_HZ, subtype="PCM_16")
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def loaded(path: Path, target: str, classes: str | None = None, *, skip_bad: bool = False) -> Manifest:
    cache = path.parent / "cache"
    return load_corpus(str(path), skip_bad=skip_bad, classes=classes, cache_dir=cache, target=target)


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    lines = ["path,speaker,gender,Arousal,valence,room"]
    lines += [f"{n}.wav,s{n % 4},female,{n}.5,{7 - n},{n % 2}" for n in range(8)]
    return written(tmp_path, "ratings.csv", lines)


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Two listeners: they agree on a, differ on b, and c has a third vote."""
    lines = ["path,speaker,annotator,emotion", "a.wav,ann,1,happy", "a.wav,ann,2,happy", "b.wav,ben,1,happy"]
    lines += ["b.wav,ben,2,sad", "c.wav,ben,1,sad", "c.wav,ben,2,angry", "c.wav,ben,3,sad"]
    return written(tmp_path, "votes.csv", lines)


def test_columns_of_numbers_become_ratings_in_the_order_asked_for(ratings: Path) -> None:
    manifest = loaded(ratings, "valence,arousal")
    assert manifest.target == Dimensions(("valence", "arousal"), "ccc")
    np.testing.assert_array_equal(manifest.truth, [[7 - n, n + 0.5] for n in range(8)])
    assert manifest.classes == (RATED,)
    assert list(manifest.columns) == ["room"]
    assert manifest.take([3]).truth.tolist() == [[4, 3.5]]
    assert manifest.fingerprint() != loaded(ratings, "valence").fingerprint()


def test_ratings_are_written_as_they_are_without_exponents(ratings: Path) -> None:
    manifest = loaded(ratings, "valence,arousal")
    assert manifest.ratings is not None
    values = np.array([[1234567.5, 1e-7]] * len(manifest.clips))
    told = rating_columns(replace(manifest, ratings=replace(manifest.ratings, values=values)))
    assert {name: texts[0] for name, texts in told.items()} == {"valence": "1234567.5", "arousal": "0.0000001"}
    assert rating_columns(manifest)["valence"][:3].tolist() == ["7", "6", "5"]


def test_splits_of_ratings_keep_speakers_apart_and_need_no_classes(ratings: Path) -> None:
    manifest = loaded(ratings, "arousal")
    split = make_split(manifest, "speaker", 0)
    parts = [set(manifest.speakers[getattr(split, part)]) for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 4
    assert len(inner_folds(manifest, split, 2, 0)) == 2


@pytest.mark.parametrize(
    ("cell", "message"), [("loud", r"arousal 'loud'"), ("", r"arousal ''"), ("inf", r"a rating must be a number")]
)
def test_a_clip_without_a_number_is_a_bad_file(ratings: Path, cell: str, message: str) -> None:
    lines = ratings.read_text().splitlines()
    lines[3] = f"2.wav,s2,female,{cell},5,0"
    ratings.write_text("\n".join(lines))
    with pytest.raises(CorpusError, match=message):
        loaded(ratings, "arousal")
    kept = loaded(ratings, "arousal", skip_bad=True)
    assert (len(kept.clips), len(kept.skipped)) == (7, 1)


@pytest.mark.parametrize(
    ("target", "classes", "message"),
    [
        ("dominance", None, r"has no column dominance; columns of numbers: arousal, valence, room"),
        ("arousal,", None, r"name columns of numbers, each once"),
        ("arousal", "4", r"predicts ratings, which have no classes"),
        ("votes", None, r"has no votes: columns such as votes_angry"),
    ],
)
def test_a_target_that_the_data_do_not_have_is_refused(
    ratings: Path, target: str, classes: str | None, message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        loaded(ratings, target, classes)


def test_a_dimension_that_does_not_vary_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "still.csv", ["path,speaker,arousal", "a.wav,ann,3", "b.wav,ben,3.0"])
    with pytest.raises(CorpusError, match=r"all clips have the same arousal"):
        loaded(path, "arousal")


def test_lines_of_listeners_become_shares_and_ties_are_left_out(votes: Path) -> None:
    manifest = loaded(votes, "votes")
    assert manifest.target == Votes(("happy", "sad", "angry"))
    assert [clip.clip_id for clip in manifest.clips] == ["a.wav", "c.wav"]
    assert [clip.emotion for clip in manifest.clips] == ["happy", "sad"]
    np.testing.assert_allclose(manifest.truth, [[1, 0, 0], [0, 2 / 3, 1 / 3]])


def test_no_agreement_is_a_class_where_it_is_named(votes: Path) -> None:
    manifest = loaded(votes, "votes", "happy,sad,no_agreement")
    assert manifest.target.names == ("happy", "sad", NO_AGREEMENT)
    assert [clip.emotion for clip in manifest.clips] == ["happy", NO_AGREEMENT, "sad"]
    np.testing.assert_allclose(manifest.truth, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])  # angry does not count


def test_votes_in_columns_are_merged_and_divided(tmp_path: Path) -> None:
    lines = ["path,speaker,votes_anger,votes_sad,votes_happy", "a.wav,ann,3,1,0", "b.wav,ben,,0,2", "c.wav,cat,2,2,3"]
    manifest = loaded(written(tmp_path, "columns.csv", lines), "votes", "happy,negative=angry+sad")
    assert manifest.target.names == ("happy", "negative")
    np.testing.assert_allclose(manifest.truth, [[0, 1], [1, 0], [3 / 7, 4 / 7]])
    bad = written(tmp_path, "bad.csv", ["path,speaker,votes_sad,votes_happy", "a.wav,ann,-1,2"])
    with pytest.raises(CorpusError, match=r"column votes_sad: votes are numbers from 0; got '-1'"):
        loaded(bad, "votes")


def test_listeners_who_name_other_speakers_are_refused(votes: Path) -> None:
    votes.write_text(votes.read_text().replace("a.wav,ann,2", "a.wav,ben,2"))
    with pytest.raises(CorpusError, match=r"a\.wav is listed twice"):
        loaded(votes, "votes")


@pytest.fixture
def iemocap(tmp_path: Path) -> Path:
    """Three clips: one angry, one of another emotion, one without agreement; all with ratings."""
    lines = []
    for number, emotion, valence in ((1, "ang", 1.5), (2, "oth", 3.0), (3, "xxx", 4.5)):
        turn = f"Ses01F_impro04_M{number:03d}"
        path = tmp_path / "Session1" / "sentences" / "wav" / "Ses01F_impro04" / f"{turn}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, RATE_HZ), RATE_HZ, subtype="PCM_16")
        lines.append(f"[{number}.0 - {number + 1}.0]\t{turn}\t{emotion}\t[{valence:.4f}, 2.5000, 3.5000]\n")
    table = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro04.txt"
    table.parent.mkdir(parents=True)
    table.write_text("".join(lines))
    return tmp_path


def test_a_corpus_brings_its_ratings_of_all_clips(iemocap: Path) -> None:
    manifest = load_corpus(
        f"iemocap:{iemocap}", skip_bad=False, classes=None, cache_dir=iemocap / "cache", target="valence"
    )
    np.testing.assert_array_equal(manifest.truth[:, 0], [1.5, 3.0, 4.5])
    with pytest.raises(CorpusError, match=r"all clips have the same arousal"):
        load_corpus(f"iemocap:{iemocap}", skip_bad=False, classes=None, cache_dir=iemocap / "cache", target="arousal")


@pytest.mark.parametrize(
    ("classes", "kept"),
    [
        (None, ["angry"]),
        ("angry,other", ["angry", "other"]),
        ("angry,no agreement", ["angry", "no_agreement"]),
        ("angry,rest=other+no_agreement", ["angry", "rest", "rest"]),
    ],
)
def test_clips_of_other_emotions_and_without_agreement_are_classes_where_they_are_named(
    iemocap: Path, classes: str | None, kept: list[str]
) -> None:
    manifest = load_corpus(f"iemocap:{iemocap}", skip_bad=False, classes=classes, cache_dir=iemocap / "cache")
    assert [clip.emotion for clip in manifest.clips] == kept
