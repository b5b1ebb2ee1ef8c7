"""What a corpus holds and what is wrong with it, as numbers and sentences; no audio is opened here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ser_core.clips import Clip, Manifest
from ser_core.targets import DIMENSIONS

LEAST_SPEAKERS = 3
"""Who trains, validates and tests must be different people."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One clip as log mel energies, (frames, mels) float32."""

    emotion: str
    clip: str
    seconds: float
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """Facts of one corpus.

    Attributes:
        corpus, licence, citation, synthetic: as in `Manifest`.
        where: what was asked for.
        seconds: length of every clip, (clips,) float64.
        classes: emotion -> clips and speakers.
        speakers: name -> clips, the most first.
        genders: "female", "male" or "unknown" -> speakers.
        ratings: dimension -> lowest, mean and highest; empty where classes are predicted.
        languages: name -> clips; empty where the corpus does not say.
        rates_hz: sample rate -> files.
        findings: what is wrong, or should be known before a search; the worst first.
        bad: files that cannot be used, with reasons.
        pictures: one clip of each class, or of some.
    """

    corpus: str
    where: str
    licence: str
    citation: str
    synthetic: bool
    seconds: np.ndarray
    classes: Mapping[str, tuple[int, int]]
    speakers: Mapping[str, int]
    genders: Mapping[str, int]
    ratings: Mapping[str, tuple[float, float, float]]
    languages: Mapping[str, int]
    rates_hz: Mapping[int, int]
    findings: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]
    pictures: tuple[Picture, ...]

    @property
    def hours(self) -> float:
        """Of all clips together."""
        return float(self.seconds.sum() / 3_600)


def describe(
    manifest: Manifest,
    where: str,
    seconds: np.ndarray,
    rates_hz: Mapping[int, int],
    pictures: Sequence[Picture],
) -> CorpusReport:
    """The report on a corpus.

    Args:
        where: what was asked for.
        seconds: length of every clip, (clips,).
        rates_hz: sample rate -> files.
    """
    gender_of = {clip.speaker: clip.gender or "unknown" for clip in manifest.clips}
    languages = manifest.columns.get("language")
    return CorpusReport(
        corpus=manifest.corpus,
        where=where,
        licence=manifest.licence,
        citation=manifest.citation,
        synthetic=manifest.synthetic,
        seconds=seconds,
        classes=_classes(manifest),
        speakers=dict(Counter(clip.speaker for clip in manifest.clips).most_common()),
        genders=dict(sorted(Counter(gender_of.values()).items())),
        ratings=_ratings(manifest),
        languages=dict(Counter(languages.tolist()).most_common()) if languages is not None else {},
        rates_hz=dict(sorted(rates_hz.items())),
        findings=tuple(_findings(manifest, gender_of, rates_hz)),
        bad=tuple((str(file.path), file.reason) for file in manifest.skipped),
        pictures=tuple(pictures),
    )


def _classes(manifest: Manifest) -> dict[str, tuple[int, int]]:
    people: dict[str, set[str]] = defaultdict(set)
    for clip in manifest.clips:
        people[clip.emotion].add(clip.speaker)
    clips = Counter(clip.emotion for clip in manifest.clips)
    return {word: (clips[word], len(people[word])) for word in manifest.classes}


def _ratings(manifest: Manifest) -> dict[str, tuple[float, float, float]]:
    if manifest.ratings is None or manifest.ratings.kind != DIMENSIONS:
        return {}
    columns = zip(manifest.ratings.names, manifest.ratings.values.T, strict=True)
    return {name: (float(own.min()), float(own.mean()), float(own.max())) for name, own in columns}


def _findings(manifest: Manifest, gender_of: Mapping[str, str], rates_hz: Mapping[int, int]) -> list[str]:
    found = []
    if manifest.skipped:
        found.append(f"{len(manifest.skipped):,} files cannot be used")
    if len(manifest.classes) < 2 and manifest.target.kind != DIMENSIONS:
        found.append(f"every clip is {manifest.classes[0]}: there is nothing to tell apart")
    if len(gender_of) < LEAST_SPEAKERS:
        found.append(f"{len(gender_of)} speaker(s): no split can keep speakers apart, so there is --split random alone")
    found += [
        f"{word}: {people} speaker(s) alone, fewer than the parts of a split; leave it out with --classes"
        for word, (_, people) in _classes(manifest).items()
        if people < LEAST_SPEAKERS <= len(gender_of)
    ]
    for rows in manifest.repeated():
        found.append("the same recording: " + " = ".join(manifest.clips[row].shown for row in rows[:4]))
    if overlapping := _overlapping(manifest.clips):
        found.append(f"{overlapping:,} clips overlap the clip before them in their file")
    if unknown := sum(gender == "unknown" for gender in gender_of.values()):
        found.append(f"the gender of {unknown:,} of {len(gender_of):,} speakers is unknown")
    if len(rates_hz) > 1:
        found.append(f"sample rates differ: {', '.join(f'{rate:,} Hz' for rate in rates_hz)}; all are resampled")
    return found


def _overlapping(clips: Sequence[Clip]) -> int:
    spans: dict[Path, list[tuple[float, float]]] = defaultdict(list)
    for clip in clips:
        if clip.span is not None:
            end = clip.span.end_seconds
            spans[clip.path].append((clip.span.start_seconds, float("inf") if end is None else end))
    ordered = (sorted(own) for own in spans.values())
    return sum(after[0] < before[1] for own in ordered for before, after in pairwise(own))
