from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_core.clips import CLASS_SETS, EMOTION_SYNONYMS, Clip, CorpusError, Manifest, emotion_word, order_classes


def clip(number: int, emotion: str, *, speaker: str = "a", folder: str = "/data", part: str | None = None) -> Clip:
    name = f"clip{number}"
    return Clip(clip_id=name, path=Path(folder) / f"{name}.wav", speaker=speaker, emotion=emotion, part=part)


@pytest.fixture
def manifest() -> Manifest:
    """Nine clips: one of each RAVDESS emotion, a second angry one, three speakers."""
    emotions = (*CLASS_SETS["8"], "angry")
    clips = tuple(clip(n, emotion, speaker="abc"[n % 3]) for n, emotion in enumerate(emotions))
    return Manifest(corpus="toy", clips=clips, classes=CLASS_SETS["8"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" Anger ", "angry"),
        ("HAP", "happy"),
        ("neu", "neutral"),
        ("Pleasant_Surprise", "surprised"),
        ("bored", "bored"),
    ],
)
def test_words_of_other_corpora_are_folded(text: str, word: str) -> None:
    assert emotion_word(text) == word


def test_folded_words_are_final() -> None:
    assert all(emotion_word(word) == word for word in EMOTION_SYNONYMS.values())
    assert all(emotion_word(word) == word for words in CLASS_SETS.values() for word in words)


def test_labels_are_positions_in_classes(manifest: Manifest) -> None:
    assert manifest.labels.dtype == np.int64
    assert manifest.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 4]
    assert manifest.speakers.tolist() == list("abcabcabc")


def test_no_clips_is_an_error() -> None:
    with pytest.raises(CorpusError, match="corpus 'toy' holds no usable clip; files left out: 0"):
        Manifest(corpus="toy", clips=(), classes=("angry",))


def test_an_id_named_twice_is_an_error() -> None:
    with pytest.raises(CorpusError, match=r"named more than once: clip1$"):
        Manifest(corpus="toy", clips=(clip(1, "sad"), clip(1, "sad"), clip(2, "sad")), classes=("sad",))


def test_an_emotion_that_is_no_class_is_an_error() -> None:
    with pytest.raises(CorpusError, match=r"emotions \['happy'\] are not among the classes \['sad'\]"):
        Manifest(corpus="toy", clips=(clip(1, "sad"), clip(2, "happy")), classes=("sad",))


def test_all_classes_leave_the_manifest_as_it_is(manifest: Manifest) -> None:
    assert manifest.with_classes(None) is manifest


@pytest.mark.parametrize("selection", ["4", "6", "8"])
def test_named_class_sets(manifest: Manifest, selection: str) -> None:
    cut = manifest.with_classes(selection)
    assert cut.classes == CLASS_SETS[selection]
    assert {one.emotion for one in cut.clips} == set(CLASS_SETS[selection])
    assert [one.clip_id for one in cut.clips] == [
        one.clip_id for one in manifest.clips if one.emotion in CLASS_SETS[selection]
    ]


def test_merged_classes(manifest: Manifest) -> None:
    merged = manifest.with_classes("Neutral, negative=anger+sad")
    assert merged.classes == ("neutral", "negative")
    assert [(one.clip_id, one.emotion) for one in merged.clips] == [
        ("clip0", "neutral"),
        ("clip3", "negative"),
        ("clip4", "negative"),
        ("clip8", "negative"),
    ]
    assert merged.labels.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("happy,bored", "no clip of toy is bored; it has neutral, calm"),
        ("happy,sad,mixed=sad+angry", "each emotion may be used once; used twice: sad"),
        ("happy,anger,ang", "class 'angry' is named twice"),
        ("happy,happy=sad", "class 'happy' is named twice"),
        ("all=happy+sad", "at least two classes are needed; got 1"),
        ("happy,", "expected 4, 6, 8 or words such as"),
        ("happy,negative=", "expected 4, 6, 8 or words such as"),
        ("5", "no clip of toy is 5"),
    ],
)
def test_class_selections_that_cannot_be(manifest: Manifest, selection: str, message: str) -> None:
    with pytest.raises(CorpusError, match=re.escape(f"--classes {selection}: {message}")):
        manifest.with_classes(selection)


def test_the_fingerprint_is_the_same_for_other_paths(manifest: Manifest) -> None:
    moved = replace(
        manifest, clips=tuple(replace(one, path=Path("/elsewhere") / one.path.name) for one in manifest.clips)
    )
    assert moved.fingerprint() == manifest.fingerprint()


@pytest.mark.parametrize("change", [{"speaker": "z"}, {"emotion": "sad"}, {"clip_id": "other"}, {"part": "test"}])
def test_the_fingerprint_tells_what_a_split_depends_on(manifest: Manifest, change: dict[str, str]) -> None:
    changed = replace(manifest, clips=(replace(manifest.clips[0], **change), *manifest.clips[1:]))
    assert changed.fingerprint() != manifest.fingerprint()


def test_the_fingerprint_tells_the_order_of_classes(manifest: Manifest) -> None:
    assert replace(manifest, classes=manifest.classes[::-1]).fingerprint() != manifest.fingerprint()


@given(words=st.lists(st.sampled_from([*CLASS_SETS["8"], "bored", "amused", "zest"])))
def test_class_order_depends_on_the_words_alone(words: list[str]) -> None:
    ordered = order_classes(words)
    assert ordered == order_classes(set(words))
    assert sorted(ordered) == sorted(set(words))
    known = [word for word in ordered if word in CLASS_SETS["8"]]
    assert known == [word for word in CLASS_SETS["8"] if word in words]
    assert list(ordered[len(known) :]) == sorted(set(words) - set(known))
