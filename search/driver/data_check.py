"""Reads a corpus for `ser data`: its report with lengths, rates and pictures, and its clips as a manifest."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from ser_core.clips import RATED, Clip, CorpusError, Manifest
from ser_core.config import FeatureConfig
from ser_core.corpora import Progress, load_corpus
from ser_core.corpus_report import CorpusReport, Picture, describe
from ser_core.features.audio import duration_seconds, read_audio
from ser_core.features.transforms import extractor
from ser_core.ratings import rating_columns
from ser_core.whole_file import write_whole

MOST_PICTURES, MOST_FRAMES = 6, 200
PICTURED = FeatureConfig(kind="log_mel")
MANIFEST_COLUMNS = ("path", "speaker", "emotion", "gender", "split", "start", "end")


def check_corpus(where: str, *, classes: str | None, target: str, cache_dir: Path, progress: Progress) -> CorpusReport:
    """The report on a corpus, whose bad files it lists instead of raising.

    Raises:
        CorpusError: see `ser_core.corpora.load_corpus`.
    """
    manifest = load_corpus(where, skip_bad=True, classes=classes, target=target, cache_dir=cache_dir, progress=progress)
    files = dict.fromkeys(clip.path for clip in manifest.clips)
    rates = Counter(int(soundfile.info(path).samplerate) for path in files)
    seconds = np.array([duration_seconds(clip.path, clip.span) for clip in manifest.clips])
    return describe(manifest, where, seconds, rates, _pictures(manifest, seconds))


def _pictures(manifest: Manifest, seconds: np.ndarray) -> list[Picture]:
    """The first clip of each class, as far as there is room."""
    extract = extractor(PICTURED, "cpu")
    pictures = []
    for label, word in list(enumerate(manifest.classes))[:MOST_PICTURES]:
        row = int(np.flatnonzero(manifest.labels == label)[0])
        clip = manifest.clips[row]
        frames = extract([read_audio(clip.path, PICTURED.sample_rate_hz, clip.span)])[0]
        kept = np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int)
        pictures.append(Picture(emotion=word, clip=clip.shown, seconds=float(seconds[row]), values=frames[kept]))
    return pictures


def write_manifest(manifest: Manifest, target: Path) -> Path:
    """The clips of a corpus as a manifest (.csv, .tsv or .jsonl), with paths from its folder and all columns.

    Raises:
        CorpusError: another suffix.
        OSError: a disk that is full or cannot be written.
    """
    suffix = target.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl"):
        raise CorpusError(f"a manifest ends in .csv, .tsv or .jsonl; got {target.name}")
    folder = target.resolve().parent
    columns = {**rating_columns(manifest), **manifest.columns}
    rows = [
        {**_cells(clip, folder), **{name: values[row] for name, values in columns.items()}}
        for row, clip in enumerate(manifest.clips)
    ]
    names = [name for name in (*MANIFEST_COLUMNS, *columns) if any(row[name] for row in rows)]
    if suffix == ".jsonl":
        lines = (json.dumps({name: row[name] for name in names if row[name]}, ensure_ascii=False) for row in rows)
        return write_whole(target, "\n".join(lines) + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(
        text, names, extrasaction="ignore", delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return write_whole(target, text.getvalue())


def _cells(clip: Clip, folder: Path) -> Mapping[str, str]:
    span = clip.span
    return {
        "path": os.path.relpath(clip.path.resolve(), folder).replace(os.sep, "/"),
        "speaker": clip.speaker,
        "emotion": "" if clip.emotion == RATED else clip.emotion,
        "gender": clip.gender or "",
        "split": clip.part or "",
        "start": f"{span.start_seconds:.6f}" if span else "",
        "end": f"{span.end_seconds:.6f}" if span and span.end_seconds is not None else "",
    }
