"""A finished model on other labelled speech: its predictions, all scores of them, a page, and a line in its ledger."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from search.driver.protocol_folds import corpus_of
from search.finals.group_scores import groups_of, named_columns
from search.finals.spreads import target_facts
from search.finals.test_scores import score_test
from search.finals.test_set import prediction_tables
from search.pages.evaluation_page import write_evaluation_page
from search.run_folder.append_file import AppendFile
from search.run_folder.paths import EVALUATION_FILE, EVALUATION_PAGE_FILE, EVALUATIONS_FILE
from search.run_folder.predictions import Predictions, write_table
from search.wording import count
from ser_core.artifact import Predictor
from ser_core.clips import Clip, CorpusError, Manifest, order_classes
from ser_core.config import ConfigError
from ser_core.ensemble import EnsemblePredictor, load_predictor
from ser_core.features.store import corpus_features
from ser_core.rating_scales import on_scale_of_model
from ser_core.several_corpora import COMMON_WORDS
from ser_core.split_rules import some
from ser_core.targets import DIMENSIONS, Target
from ser_core.trained_clips import trained_clips
from ser_core.whole_file import write_json

PREDICTIONS_NAME = "predictions.csv"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be evaluated.

    Attributes:
        models: folder of a model or an ensemble.
        data, classes, groups, scale: as for a search.
        skip_bad: leave unusable files out. skip_trained: leave out clips that the model was trained on.
        out: folder of what is written.
    """

    models: Path
    data: str
    classes: str | None
    groups: str
    scale: str
    skip_bad: bool
    skip_trained: bool
    out: Path
    cache_dir: Path


def evaluate_model(asked: Asked, console: Console) -> dict[str, Any]:
    """Predict and score; `evaluation.json`, which is returned, predictions and a page are written to `asked.out`.

    Raises:
        ConfigError: a folder that holds an evaluation already, clips that the model was trained on.
        CorpusError: data that cannot be used, emotions that the model does not know, or ratings outside its scale.
        ArtifactError, PretrainedError: a model that cannot be loaded.
        OSError: a disk that is full or cannot be written.
    """
    if (asked.out / EVALUATION_FILE).exists():
        raise ConfigError(f"{asked.out} holds an evaluation already; name another --out")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    predictor = load_predictor(asked.models, device=device)
    manifest, assumed = _labelled(asked, predictor, console)
    trained, start = trained_clips(asked.models), predictor.about.get("start")
    manifest, left_out = without_trained(manifest, trained or frozenset(), skip=asked.skip_trained)
    columns = named_columns(asked.groups, manifest)
    members = predictor.members if isinstance(predictor, EnsemblePredictor) else (predictor,)
    features = corpus_features(manifest, asked.cache_dir)
    said = np.stack([each.predict_store(features.store(each.config.features)) for each in members])
    if isinstance(predictor, EnsemblePredictor) and len(set(predictor.weights.tolist())) > 1:
        said = np.tensordot(predictor.weights.astype(np.float32), said, axes=1)[None]  # the members' mean is no model
    test = Predictions(
        target=predictor.target,
        clip_ids=tuple(clip.clip_id for clip in manifest.clips),
        truth=truth_for(manifest, predictor.target),
        told=said,
        speakers=manifest.speakers,
        genders=np.array([clip.gender or "" for clip in manifest.clips]),
        groups=groups_of(manifest, np.arange(len(manifest.clips)), columns),
    )
    write_table(asked.out / PREDICTIONS_NAME, pd.concat(prediction_tables(test)))
    document = {
        "models": str(asked.models.resolve()),
        "trained_on": predictor.about.get("corpus"),
        "data": {
            "corpus": manifest.corpus,
            "clips": len(manifest.clips),
            "speakers": len(set(manifest.speakers.tolist())),
            "fingerprint": manifest.fingerprint(),
            "synthetic": manifest.synthetic,
            "mapped": manifest.mapped,
            "scale_assumed": assumed,
            "skipped": [{"path": str(item.path), "reason": item.reason} for item in manifest.skipped],
            "trained_on_left_out": left_out,
        },
        "corpus": {"name": manifest.corpus, "classes": list(predictor.classes)},
        "target": target_facts(predictor.target),
        "transductive": predictor.transductive,
        "training_clips_known": trained is not None and (not start or bool(start.get("clips_known"))),
        "start": start,
        "shared_speakers": shared_speakers(manifest, predictor.about),
        "test": score_test(test),
        "evaluations": _note(asked.models, manifest, test),
    }
    write_json(asked.out / EVALUATION_FILE, document)
    write_evaluation_page(asked.out / EVALUATION_PAGE_FILE, document)
    return document


def _labelled(asked: Asked, model: Predictor | EnsemblePredictor, console: Console) -> tuple[Manifest, str]:
    """The data with what the model predicts of them: ratings under its names, votes, or words that it knows.

    Ratings are on the model's scale; what had to be assumed for that comes second, see `on_scale_of_model`.
    """
    target = model.target
    wanted = ",".join(target.names) if target.kind == DIMENSIONS else target.kind
    manifest = corpus_of(
        asked.data, "", asked.classes, asked.skip_bad, asked.cache_dir, console, target=wanted, scale=asked.scale
    )
    if target.kind == DIMENSIONS:
        return on_scale_of_model(manifest, model.scales)
    return in_words_of(manifest, target.names), ""


def truth_for(manifest: Manifest, target: Target) -> np.ndarray:
    """What is true of each clip in the order of the model's names, see `Target.sums`."""
    if manifest.ratings is None:
        return _labels(manifest, target.names)
    truth = np.zeros((len(manifest.clips), len(target.names)))
    for place, word in enumerate(manifest.ratings.names):
        name = word if word in target.names else COMMON_WORDS[word]  # `in_words_of` has refused all others
        truth[:, target.names.index(name)] += manifest.ratings.values[:, place]
    return truth


def in_words_of(manifest: Manifest, classes: Sequence[str]) -> Manifest:
    """The clips with words that the model knows: a word that it does not know may have a common one that it does.

    Raises:
        CorpusError: emotions that the model cannot tell.
    """
    words = {word: COMMON_WORDS[word] for word in manifest.classes if word not in classes and word in COMMON_WORDS}
    unknown = [word for word in manifest.classes if words.get(word, word) not in classes]
    if unknown:
        known = [word for word in manifest.classes if word not in unknown]
        raise CorpusError(
            f"the model tells {', '.join(classes)} apart; {manifest.corpus} also has {', '.join(unknown)}: leave these "
            f"out with --classes {','.join(known) or 'WORDS'}, or merge them into others"
        )

    def renamed(clip: Clip) -> Clip:
        return replace(clip, emotion=words.get(clip.emotion, clip.emotion))

    clips = tuple(map(renamed, manifest.clips))
    return replace(manifest, clips=clips, classes=order_classes({clip.emotion for clip in clips}))


def without_trained(manifest: Manifest, trained: frozenset[str], *, skip: bool) -> tuple[Manifest, int]:
    """The clips that the model was not trained on, and how many others there were.

    Raises:
        ConfigError: some that it was trained on, and `skip` is not given; or no others.
    """
    fresh = [row for row, clip in enumerate(manifest.clips) if clip.content not in trained]
    known = len(manifest.clips) - len(fresh)
    if known and not skip:
        heard = [clip.shown for clip in manifest.clips if clip.content in trained]
        raise ConfigError(
            f"the model was trained on {count(known, 'clip')} of these {len(manifest.clips):,}, whose samples are the "
            f"same: {some(heard)}. A score on them says nothing; --skip-trained evaluates the others"
        )
    if not fresh:
        raise ConfigError(f"the model was trained on all {known:,} clips of {manifest.corpus}; evaluate it on others")
    return (manifest.take(fresh) if known else manifest), known


def shared_speakers(manifest: Manifest, about: Mapping[str, Any]) -> list[str]:
    """Speakers of the data who bear the name of one that the model has heard, of a corpus of the same name.

    So have the models that it began with, one after another.
    """
    corpus, start = about.get("corpus"), about.get("start") or {}
    own = {"corpus": (corpus or {}).get("name"), "speakers": about.get("trained_speakers", ())}
    heard = (each["speakers"] for each in (own, *start.get("seen", ())) if each["corpus"] == manifest.corpus)
    return sorted(set(manifest.speakers.tolist()).intersection(speaker for speakers in heard for speaker in speakers))


def _labels(manifest: Manifest, classes: Sequence[str]) -> np.ndarray:
    """(clips,) positions in the model's classes."""
    index = {word: position for position, word in enumerate(classes)}
    return np.array([index[clip.emotion] for clip in manifest.clips], dtype=np.int64)


def _note(models: Path, manifest: Manifest, test: Predictions) -> int:
    """Write the evaluation into the model's ledger; how often these very clips were evaluated with it, this one too."""
    path, fingerprint = models / EVALUATIONS_FILE, manifest.fingerprint()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    digest = hashlib.sha256(np.ascontiguousarray(test.told, dtype="<f4").tobytes()).hexdigest()
    entry = {
        "time": time.time(),
        "corpus": manifest.corpus,
        "fingerprint": fingerprint,
        "clips": len(manifest.clips),
        "predictions_sha256": digest,
    }
    ledger = AppendFile(path)
    try:
        ledger.append([json.dumps(entry)])
    finally:
        ledger.close()
    return 1 + sum(fingerprint in line for line in lines)
