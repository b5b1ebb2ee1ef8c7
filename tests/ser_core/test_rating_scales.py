"""Ratings of several corpora on one scale, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_core.clips import RATED, Clip, CorpusError, Manifest, Ratings
from ser_core.rating_scales import Scale, on_one_scale, on_own_scale, on_scale_of_model, scales_in
from ser_core.several_corpora import CORPUS, joined_ratings
from ser_core.targets import DIMENSIONS, Dimensions

NAMES = ("arousal", "valence")


def rated(corpus: str, *values: tuple[float, float]) -> Manifest:
    clips = tuple(
        Clip(clip_id=f"{row}.wav", path=Path(corpus), speaker=f"s{row % 2}", emotion=RATED)
        for row in range(len(values))
    )
    ratings = Ratings(kind=DIMENSIONS, names=NAMES, values=np.array(values))
    return Manifest(corpus=corpus, clips=clips, classes=(RATED,), ratings=ratings)


def test_scales_are_read_for_corpora_and_for_one_dimension_of_them() -> None:
    assert scales_in("") == {}
    assert scales_in("one=1:7, two/valence=-3:3.5") == {"one": Scale(1, 7), "two/valence": Scale(-3, 3.5)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one", r"expected --scale NAME=LOW:HIGH, .* such as msp=1:7; got one"),
        ("one=7:1", r"got one=7:1"),
        ("one=1:7:9", r"got one=1:7:9"),
        ("one=1:inf", r"got one=1:inf"),
        ("one=1:7,", r"got nothing"),
        ("one=1:7,one=1:5", r"one has a scale twice"),
    ],
)
def test_what_is_no_scale_is_refused(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        scales_in(text)


def test_ratings_are_mapped_end_to_end_onto_the_scale_of_the_first() -> None:
    """1 to 7 onto 1 to 5: 1 + (x - 1) * 4 / 6. Valence of the second is on -3 to 3 by a word of its own."""
    first, second = rated("iemocap", (1.0, 5.0), (2.5, 3.0)), rated("two", (7.0, 0.0), (4.0, -3.0))
    ratings, mapped = on_one_scale([first, second], scales_in("two=1:7,two/valence=-3:3"))
    np.testing.assert_allclose(ratings.values, [[1, 5], [2.5, 3], [5, 3], [3, 1]])
    assert mapped == "two: arousal, 1 to 7, as 1 to 5; two: valence, -3 to 3, as 1 to 5"
    same, said = on_one_scale(
        [rated("mspimprov", (1.1, 4.7)), rated("iemocap", (1 / 3, 2.0))], {"iemocap": Scale(0, 4)}
    )
    assert said == "iemocap: arousal, 0 to 4, as 1 to 5; iemocap: valence, 0 to 4, as 1 to 5"
    assert same.values[0].tolist() == [1.1, 4.7]
    alike, nothing = on_one_scale([rated("mspimprov", (1.1, 4.7)), rated("iemocap", (1.3, 2.0))], {})
    assert (alike.values.tolist(), nothing) == ([[1.1, 4.7], [1.3, 2.0]], "")


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ("", r"lowest and the highest rating of two \(arousal, valence\), as in --scale two=1:7"),
        ("two/arousal=1:9", r"lowest and the highest rating of two \(valence\)"),
        ("two=1:5", r"two: arousal should be 1 to 5; 1\.wav has 6\. Say the right one with --scale two/arousal=LOW"),
        ("three=1:5", r"--scale names three; the corpora are iemocap, two, with arousal, valence"),
        ("two/joy=1:5", r"--scale names two/joy"),
    ],
)
def test_ratings_whose_scale_is_not_known_or_wrong_are_refused(scales: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        on_one_scale([rated("iemocap", (1, 2)), rated("two", (2, 3), (6, 3))], scales_in(scales))


def test_joined_corpora_have_one_target_and_say_what_was_mapped() -> None:
    one = replace(rated("one", (0, 10), (5, 10)), columns={"room": np.array(["a", "b"], dtype=object)})
    whole = joined_ratings([one, rated("two", (1, 2))], scales_in("one=0:10,two=1:2"))
    assert whole.target == Dimensions(NAMES)
    np.testing.assert_allclose(whole.truth, [[0, 10], [5, 10], [0, 10]])
    assert [clip.clip_id for clip in whole.clips] == ["one/0.wav", "one/1.wav", "two/0.wav"]
    assert whole.column(CORPUS).tolist() == ["one", "one", "two"]
    assert whole.column("room").tolist() == ["a", "b", ""]
    assert whole.mapped == "two: arousal, 1 to 2, as 0 to 10; two: valence, 1 to 2, as 0 to 10"
    assert whole.ratings is not None
    assert whole.ratings.scales == {"arousal": (0, 10), "valence": (0, 10)}


def test_one_corpus_keeps_the_scales_that_are_known() -> None:
    def known(corpus: Manifest, scale: str) -> Mapping[str, tuple[float, float]]:
        ratings = on_own_scale(corpus, scales_in(scale)).ratings
        assert ratings is not None
        assert ratings.values.tolist() == [[2, 3]]
        return ratings.scales

    assert known(rated("iemocap", (2, 3)), "") == {"arousal": (1, 5), "valence": (1, 5)}
    assert known(rated("iemocap", (2, 3)), "iemocap/valence=0:4") == {"arousal": (1, 5), "valence": (0, 4)}
    assert known(rated("mine", (2, 3)), "") == {}
    assert known(rated("mine", (2, 3)), "mine/valence=0:4") == {"valence": (0, 4)}
    with pytest.raises(CorpusError, match=r"--scale names other; the corpus is mine, with arousal, valence"):
        on_own_scale(rated("mine", (2, 3)), scales_in("other=1:5"))
    with pytest.raises(CorpusError, match=r"iemocap: arousal should be 1 to 5; 0\.wav has 6"):
        on_own_scale(rated("iemocap", (6, 3)), {})


MODELS = {"arousal": (1.0, 5.0), "valence": (1.0, 5.0)}


def test_ratings_are_mapped_onto_the_scale_of_a_model() -> None:
    """1 to 7 onto 1 to 5: 4 is 3; -3 to 3 likewise: 0 is 3."""
    corpus = on_own_scale(rated("two", (7.0, 0.0), (4.0, -3.0)), scales_in("two=1:7,two/valence=-3:3"))
    mapped, assumed = on_scale_of_model(corpus, MODELS)
    np.testing.assert_allclose(mapped.truth, [[5, 3], [3, 1]])
    assert (mapped.mapped, assumed) == ("two: arousal, 1 to 7, as 1 to 5; two: valence, -3 to 3, as 1 to 5", "")
    assert mapped.ratings is not None
    assert mapped.ratings.scales == MODELS
    same, nothing = on_scale_of_model(on_own_scale(rated("iemocap", (1.1, 4.7)), {}), MODELS)
    assert (same.truth.tolist(), same.mapped, nothing) == ([[1.1, 4.7]], "", "")
    one = on_own_scale(rated("one", (0, 10), (5, 10)), scales_in("one=0:10"))
    joined, _ = on_scale_of_model(joined_ratings([one, rated("two", (1, 2))], scales_in("one=0:10,two=1:2")), MODELS)
    np.testing.assert_allclose(joined.truth, [[1, 5], [3, 5], [1, 5]])
    assert joined.mapped.endswith("one+two: arousal, 0 to 10, as 1 to 5; one+two: valence, 0 to 10, as 1 to 5")


@pytest.mark.parametrize(
    ("scale", "models", "said"),
    [
        ("", MODELS, "mine does not say on which scale its arousal is: taken for the model's, 1 to 5. mine does not "
         "say on which scale its valence is: taken for the model's, 1 to 5."),
        ("mine=0:9", {"arousal": (0.0, 9.0)}, "The model does not say on which scale its valence is: taken for that of "
         "mine, 0 to 9."),
        ("mine/arousal=0:9", {"arousal": (0.0, 9.0)}, "Neither the model nor mine says on which scale its valence is: "
         "taken for the same."),
    ],
)  # fmt: skip
def test_what_is_assumed_of_an_unknown_scale_is_said(
    scale: str, models: dict[str, tuple[float, float]], said: str
) -> None:
    corpus = on_own_scale(rated("mine", (2, 3)), scales_in(scale))
    found, assumed = on_scale_of_model(corpus, models)
    assert (found.truth.tolist(), found.mapped, assumed) == ([[2, 3]], "", said)


def test_ratings_that_cannot_be_on_the_scale_of_the_model_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"mine: valence should be 1 to 5; 1\.wav has 50\. Say .* mine/valence=LOW"):
        on_scale_of_model(on_own_scale(rated("mine", (2, 3), (2, 50)), {}), MODELS)
