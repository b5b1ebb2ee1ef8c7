"""Scores of groups: which columns, what of them, and the sentence about the worst."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.finals.group_scores import group_numbers, groups_of, named_columns
from search.run_folder.predictions import GROUP, Predictions, pooled, prediction_table, read_predictions, write_table
from search.run_folder.verdict import group_sentences
from ser_core.clips import Clip, CorpusError, Manifest
from ser_core.metrics.scores import scores
from ser_core.named_scores import UAR
from ser_core.targets import Emotions


def made() -> Predictions:
    """Twelve speakers of two genders and three languages; speakers of Danish are recognised worse."""
    rng = np.random.default_rng(0)
    speakers = np.repeat([f"s{number:02d}" for number in range(12)], 20)
    labels = np.tile([0, 1], 120)
    language = np.repeat(["da", "de", "en"], 80)
    right = rng.random(240) < np.where(language == "da", 0.3, 0.8)
    told = np.where(right, labels, 1 - labels)
    return Predictions(
        target=Emotions(("happy", "sad")),
        clip_ids=tuple(f"clip-{row:03d}" for row in range(240)),
        truth=labels,
        told=(0.1 + 0.8 * np.eye(2)[told])[None],
        speakers=speakers,
        genders=np.where(np.char.endswith(speakers, ("0", "2", "4", "6", "8")[0]), "female", "male"),
        groups={"language": language, "session": np.full(240, "1"), "age": np.where(language == "en", "", "20-29")},
    )


def test_every_group_has_the_scores_of_its_clips() -> None:
    test = made()
    numbers = group_numbers(test)
    assert list(numbers) == ["gender", "language"]  # one session, one known age
    danish = numbers["language"]["groups"]["da"]
    rows = test.groups["language"] == "da"
    expected = scores(test.truth[rows], test.told[0][rows].argmax(axis=1), 2)
    assert danish["uar"]["value"] == expected.uar
    assert danish["war"]["value"] == expected.war
    assert (danish["clips"], danish["speakers"], danish["classes"]) == (80, 4, 2)
    low, high = danish["uar"]["interval"]
    assert low < expected.uar < high


def test_the_worst_group_comes_first_and_of_two_it_alone_is_compared() -> None:
    numbers = group_numbers(made())
    differences = numbers["language"]["differences"]
    assert differences[0]["group"] == "da"
    assert len(differences) == 3
    assert differences[0]["uar"] < -0.3
    assert differences[0]["shown"]
    assert all(each["p_holm"] >= each["p"] for each in differences)
    (one,) = numbers["gender"]["differences"]
    assert one["uar"] <= 0


def test_the_sentence_names_the_worst_group() -> None:
    by_gender, by_language = group_sentences({"per_group": group_numbers(made())}, UAR)
    assert by_gender.startswith("Gender: ")
    assert by_language.startswith("Language: da is recognised worst, ")
    assert by_language.endswith("): shown.")
    few = made()
    alone = replace(few, groups={"mother": np.where(few.speakers == "s00", "yes", "no")})
    assert group_sentences({"per_group": group_numbers(alone)}, UAR)[1].endswith(
        "cannot be tested with so few speakers."
    )
    assert group_sentences({}, UAR) == []  # an earlier version


def test_a_difference_over_fewer_emotions_than_the_score_says_so() -> None:
    test = {"per_group": group_numbers(made()), "per_class_recall": {"happy": {"mean": 0.5}, "sad": {"mean": 0.4}}}
    assert all("emotions" not in sentence for sentence in group_sentences(test, UAR))
    test["per_group"]["language"]["groups"]["de"]["classes"] = 1
    by_gender, by_language = group_sentences(test, UAR)
    assert "emotions" not in by_gender
    assert " below the others on the emotions that both have (" in by_language


def test_groups_are_kept_with_the_predictions(tmp_path: Path) -> None:
    test = made()
    table = prediction_table(
        clip_ids=test.clip_ids, truth=test.truth, told=test.told[0], target=test.target,
        facts={"speaker": test.speakers, **{f"{GROUP}{name}": values for name, values in test.groups.items()}},
    )  # fmt: skip
    write_table(tmp_path / "p.csv", table)
    read = read_predictions(tmp_path / "p.csv")
    for name, values in test.groups.items():
        np.testing.assert_array_equal(read.groups[name], values)
    assert read.groups["session"][0] == "1"  # text, although digits alone stand there
    other = replace(read, clip_ids=tuple(f"x{name}" for name in read.clip_ids), groups={"language": np.full(240, "fr")})
    both = pooled([read, other])
    assert list(both.groups) == ["language"]
    assert set(both.groups["language"].tolist()) == {"da", "de", "en", "fr"}


def test_which_columns_are_scored() -> None:
    clips = tuple(Clip(clip_id=str(row), path=Path("x"), speaker=str(row), emotion="sad") for row in range(40))
    manifest = Manifest(
        corpus="made",
        clips=clips,
        classes=("sad",),
        columns={
            "language": np.array(["da", "de"] * 20, dtype=object),
            "age": np.array([str(row) for row in range(40)], dtype=object),
            "accent": np.array(["a", ""] * 20, dtype=object),
        },
    )
    assert named_columns("", manifest) == ("language",)
    assert named_columns("accent, gender", manifest) == ("language", "accent")
    assert groups_of(manifest, np.array([3, 0]), ("accent",))["accent"].tolist() == ["", "a"]
    with pytest.raises(CorpusError, match="made has no column 'dialect'"):
        named_columns("dialect", manifest)
    with pytest.raises(
        CorpusError, match=r"--groups age: at most 30 groups can be compared; there are 40: write ranges"
    ):
        named_columns("age", manifest)
