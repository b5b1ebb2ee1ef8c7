"""A corpus as a list of labelled clips, and the words for emotions.

Nothing here opens an audio file: `ser_core.corpora` finds clips, `ser_core.features.audio` reads them.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ser_core.errors import UserError
from ser_core.targets import EMOTION, Target, make_target

EMOTION_SYNONYMS: Mapping[str, str] = {
    "anger": "angry", "ang": "angry",
    "happiness": "happy", "joy": "happy", "hap": "happy",
    "sadness": "sad", "sadnes": "sad",
    "fear": "fearful", "fea": "fearful",
    "disgusted": "disgust", "dis": "disgust",
    "surprise": "surprised", "sur": "surprised", "pleasant_surprise": "surprised",
    "neu": "neutral", "calmness": "calm",
    "boredem": "boredom",  # as EmoBox spells it in its lists of EMO-DB
    "no agreement": "no_agreement",
}  # fmt: skip
"""Other corpora's words and codes -> this project's words. Words not named here are kept as they are, in lower case."""

CLASS_SETS: Mapping[str, tuple[str, ...]] = {
    "4": ("neutral", "happy", "sad", "angry"),
    "6": ("neutral", "happy", "sad", "angry", "fearful", "disgust"),
    "8": ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
}
"""Named subsets for `--classes`."""

OF_EVERY_CLIP = ("speaker", "emotion", "gender")
"""Fields of `Clip` that `Manifest.column` gives beside the manifest's own columns."""


class CorpusError(UserError, ValueError):
    """A corpus, manifest or class selection that cannot be used; the message says why and what to do."""


def emotion_word(text: str) -> str:
    """The project's word for an emotion: trimmed, lower case, synonyms folded."""
    word = text.strip().lower()
    return EMOTION_SYNONYMS.get(word, word)


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A part of an audio file, in seconds from its start; `end_seconds` is None where it goes on to the file's end."""

    start_seconds: float
    end_seconds: float | None

    def __str__(self) -> str:
        if self.end_seconds is None:
            return f"{_decimal(self.start_seconds)} s to the end"
        return f"{_decimal(self.start_seconds)} to {_decimal(self.end_seconds)} s"

    @property
    def fragment(self) -> str:
        """What follows a file's name where a clip is a part of it: `#t=1.5,3` (W3C, Media Fragments URI 1.0, 4.2.1)."""
        end = "" if self.end_seconds is None else f",{_decimal(self.end_seconds)}"
        return f"#t={_decimal(self.start_seconds)}{end}"


def _decimal(seconds: float) -> str:
    """To the microsecond, without zeros at the end."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One recording of one speaker showing one emotion: an audio file, or a span of one.

    Attributes:
        clip_id: name that is unique in its manifest and the same on every machine (a relative path or file stem, with
            the span's `fragment`).
        path: where the audio file lies.
        span: the part of the file that is meant; None for all of it.
        speaker: speaker name, unique in the corpus.
        emotion: word from `emotion_word`.
        gender: "female", "male" or None where the corpus does not say.
        part: "train", "validation" or "test" where the corpus brings a split of its own, else None.
        content: digest of the decoded samples, equal for equal recordings in files of any name; "" where unknown.
    """

    clip_id: str
    path: Path
    speaker: str
    emotion: str
    gender: str | None = None
    part: str | None = None
    content: str = ""
    span: Span | None = None

    @property
    def shown(self) -> str:
        """Its id as messages name it: an id that climbs out of the manifest's folder tells nobody where the file is."""
        if not self.clip_id.startswith("../"):
            return self.clip_id
        return os.path.abspath(self.path) + (self.span.fragment if self.span else "")

    @property
    def source(self) -> str:
        """The file and the part of it, as messages about audio name them."""
        return f"{self.path}, {self.span}" if self.span else str(self.path)


@dataclass(frozen=True, kw_only=True)
class SkippedFile:
    """A file that could not be used, with the reason a person can act on."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """What people made of the clips, where that is more than one word for each.

    Attributes:
        kind: of the target, see `ser_core.targets`. names: of classes that were voted for, or of dimensions.
        values: (clips, names) float64: shares of votes, or ratings.
        scales: dimension -> the lowest and the highest that a listener could give, as far as somebody says it.
    """

    kind: str
    names: tuple[str, ...]
    values: np.ndarray
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)


OTHER, NO_AGREEMENT = "other", "no_agreement"
UNDECIDED = (OTHER, NO_AGREEMENT)
"""Words for clips of which listeners said something else, or not the same. A corpus known by name leaves such clips
out, unless `--classes` names them."""

RATED = "rated"
"""The one word of all clips whose target is dimensions: there are no classes that a split could balance."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The clips of one corpus in a fixed order, with all that a report must say about it.

    Attributes:
        corpus: name, such as "ravdess".
        clips: in an order that does not depend on the file system.
        classes: emotion words; the position of a word is its label.
        skipped: bad files that were left out.
        synthetic: True for audio that no person spoke; every output must say so.
        licence, citation: of the corpus; empty where unknown (a user's own manifest).
        columns: what else is known of the clips, such as language, session or age: name -> (clips,) str objects, ""
            where a clip has none.
        ratings: what is predicted where it is not the emotion; the emotions are then the words that most voted for, or
            `RATED`.
        mapped: what became of ratings that were on another scale (`ser_core.rating_scales`); "" where nothing did.
        objective: the score by which models are judged on these clips; None for the usual one of the target.

    Raises:
        CorpusError: no clips, an id named twice, or a clip whose emotion is not among the classes.
        ValueError: a column of another length, or one named as `column` names what every clip has.
    """

    corpus: str
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    skipped: tuple[SkippedFile, ...] = ()
    synthetic: bool = False
    licence: str = ""
    citation: str = ""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)
    ratings: Ratings | None = field(default=None, compare=False)
    mapped: str = ""
    objective: str | None = None

    def __post_init__(self) -> None:
        if not self.clips:
            raise CorpusError(f"corpus {self.corpus!r} holds no usable clip; files left out: {len(self.skipped)}")
        doubles = [clip_id for clip_id, count in Counter(clip.clip_id for clip in self.clips).items() if count > 1]
        if doubles:
            raise CorpusError(f"clip ids must be unique; named more than once: {', '.join(sorted(doubles)[:5])}")
        unknown = sorted({clip.emotion for clip in self.clips} - set(self.classes))
        if unknown:
            raise CorpusError(f"emotions {unknown} are not among the classes {list(self.classes)}")
        for name, values in self.columns.items():
            if name in OF_EVERY_CLIP or values.shape != (len(self.clips),):
                raise ValueError(f"column {name!r} of shape {values.shape} does not fit {len(self.clips)} clips")

    @property
    def target(self) -> Target:
        """What is predicted of a clip."""
        if self.ratings is None:
            return make_target(EMOTION, self.classes, self.objective)
        return make_target(self.ratings.kind, self.ratings.names, self.objective)

    @property
    def truth(self) -> np.ndarray:
        """What is true of each clip, as the target has it: class indices (clips,), or (clips, names) ratings."""
        return self.labels if self.ratings is None else self.ratings.values

    @cached_property
    def labels(self) -> np.ndarray:
        """Class index per clip: (clips,) int64."""
        index = {word: position for position, word in enumerate(self.classes)}
        return np.array([index[clip.emotion] for clip in self.clips], dtype=np.int64)

    @cached_property
    def speakers(self) -> np.ndarray:
        """Speaker name per clip: (clips,) str."""
        return np.array([clip.speaker for clip in self.clips])

    def column(self, name: str) -> np.ndarray:
        """What every clip has under a name of `OF_EVERY_CLIP` or `columns`: (clips,) str objects, "" where unknown.

        Raises:
            CorpusError: no such column; those that there are are listed.
        """
        if name in OF_EVERY_CLIP:
            return np.array([getattr(clip, name) or "" for clip in self.clips], dtype=object)
        if name not in self.columns:
            known = ", ".join((*OF_EVERY_CLIP, *self.columns))
            raise CorpusError(f"{self.corpus} has no column {name!r}; it has {known}")
        return self.columns[name]

    def take(self, rows: Sequence[int] | np.ndarray) -> Manifest:
        """The clips `rows`, in that order, with all that belongs to them."""
        chosen = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            clips=tuple(map(self.clips.__getitem__, chosen.tolist())),
            columns={name: values[chosen] for name, values in self.columns.items()},
            ratings=None if self.ratings is None else replace(self.ratings, values=self.ratings.values[chosen]),
        )

    def repeated(self) -> list[list[int]]:
        """Rows of clips that are one recording, a list for each recording that is there more than once."""
        rows: dict[str, list[int]] = {}
        for row, clip in enumerate(self.clips):
            if clip.content:
                rows.setdefault(clip.content, []).append(row)
        return [found for found in rows.values() if len(found) > 1]

    def fingerprint(self) -> str:
        """Hash of ids, speakers, emotions, classes and ratings (not of audio content): the same whatever the paths."""
        lines = [f"{c.clip_id}\t{c.speaker}\t{c.emotion}\t{c.part or ''}" for c in self.clips]
        digest = hashlib.sha256("\n".join(["\t".join(self.classes), *lines]).encode())
        if self.ratings is not None:
            digest.update("\t".join(self.ratings.names).encode() + self.ratings.values.astype("<f8").tobytes())
        return digest.hexdigest()[:16]

    def with_classes(self, selection: str | None) -> Manifest:
        """The manifest cut down to, or merged into, the classes that `selection` asks for.

        Args:
            selection: None for all; "4", "6" or "8" (`CLASS_SETS`); or a comma-separated list of words, in which
                `negative=angry+sad` merges several into one new class.

        Raises:
            CorpusError: a word that no clip bears, a word used twice, or fewer than two classes.
        """
        if selection is None:
            return self
        groups = class_groups(selection, self.classes, self.corpus)
        name_of = {word: name for name, members in groups.items() for word in members}
        kept = self.take([row for row, clip in enumerate(self.clips) if clip.emotion in name_of])
        clips = tuple(replace(clip, emotion=name_of[clip.emotion]) for clip in kept.clips)
        return replace(kept, clips=clips, classes=tuple(groups))


def class_groups(selection: str, known: Sequence[str], corpus: str) -> dict[str, tuple[str, ...]]:
    """Class -> the words that are merged into it, as a selection asks for; see `Manifest.with_classes`.

    Args:
        known: words of the corpus. corpus: its name, for messages.
    """
    groups = _parse_classes(selection)
    words = [word for members in groups.values() for word in members]
    absent = [word for word in words if word not in known]
    if absent:
        raise CorpusError(
            f"--classes {selection}: no clip of {corpus} is {', '.join(absent)}; it has {', '.join(known)}"
        )
    doubles = [word for word, count in Counter(words).items() if count > 1]
    if doubles:
        raise CorpusError(f"--classes {selection}: each emotion may be used once; used twice: {', '.join(doubles)}")
    if len(groups) < 2:
        raise CorpusError(f"--classes {selection}: at least two classes are needed; got {len(groups)}")
    return groups


def words_in(selection: str | None) -> frozenset[str]:
    """The words that a selection of classes names."""
    return frozenset(word for own in (_parse_classes(selection) if selection else {}).values() for word in own)


def _parse_classes(selection: str) -> dict[str, tuple[str, ...]]:
    """ "6" or "a,b,n=c+d" -> {class name: words merged into it}."""
    if selection in CLASS_SETS:
        return {word: (word,) for word in CLASS_SETS[selection]}
    groups: dict[str, tuple[str, ...]] = {}
    for item in selection.split(","):
        name, _, members = item.partition("=")
        if not name.strip() or (members == "" and "=" in item):
            raise CorpusError(
                f"--classes {selection}: expected {', '.join(CLASS_SETS)} "
                f"or words such as happy,sad,tense=angry+fearful"
            )
        words = tuple(emotion_word(word) for word in (members or name).split("+"))
        label = name.strip().lower() if members else words[0]
        if label in groups:
            raise CorpusError(f"--classes {selection}: class {label!r} is named twice")
        groups[label] = words
    return groups


def order_classes(words: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Classes in RAVDESS order where known, the rest alphabetically after them; each once."""
    known = CLASS_SETS["8"]
    present = set(words)
    return tuple([w for w in known if w in present] + sorted(present - set(known)))
