"""Predictions as CSV files: one line per clip, with what is true of it and all that a model says.

Of emotions a line has the word, the one predicted, and the probability of every class (`p_angry`); of votes also their
shares (`votes_angry`); of dimensions the ratings (`arousal`) and the predicted ones (`predicted_arousal`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_core.config import ConfigError
from ser_core.protocol_names import trained_group
from ser_core.targets import DIMENSIONS, EMOTION, VOTES, Emotions, Target, make_target
from ser_core.whole_file import replacing

_WORDS = ("clip_id", "speaker", "gender", "emotion", "predicted")
"""Columns that are text, also where all that stands there are digits."""
PREFIX = "p_"
"""Before the name of a class, it heads the column of its probabilities."""
VOTED = "votes_"
"""Before the name of a class, it heads the column of its shares of the votes."""
RATED = "predicted_"
"""Before the name of a dimension, it heads the column of its predicted ratings; the ratings have the name itself."""
GROUP = "group:"
"""Before the name of a column of the data, it heads what the clips have there."""
_PREFIXES = ((DIMENSIONS, RATED), (VOTES, VOTED), (EMOTION, PREFIX))
"""By which columns a file is known; votes have those of emotions, too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What models said of clips.

    Attributes:
        target: what was to be predicted. clip_ids: one per clip.
        truth: (clips,) class indices, or (clips, names) shares of votes or ratings.
        told: (runs, clips, names) float, a run per seed: probabilities, or ratings.
        speakers, genders: (clips,) names; "" where the file does not say.
        groups: column of the data -> (clips,) str, by which clips are grouped; "" where unknown.
    """

    target: Target
    clip_ids: tuple[str, ...]
    truth: np.ndarray
    told: np.ndarray
    speakers: np.ndarray
    genders: np.ndarray
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)


def prediction_table(
    *,
    target: Target,
    clip_ids: Sequence[str],
    truth: np.ndarray,
    told: np.ndarray,
    facts: Mapping[str, Sequence[object] | np.ndarray | int] | None = None,
) -> pd.DataFrame:
    """Truth, as in `Predictions`, and what one model says (clips, names) as a table; `facts` are further columns."""
    words: dict[str, Any] = {"clip_id": list(clip_ids), **(facts or {}), **_words(target, truth, told)}
    numbers: dict[str, np.ndarray] = {}
    if target.kind == DIMENSIONS:
        numbers |= {name: truth[:, index] for index, name in enumerate(target.names)}
    if target.kind == VOTES:
        numbers |= {f"{VOTED}{word}": truth[:, index] for index, word in enumerate(target.names)}
    prefix = RATED if target.kind == DIMENSIONS else PREFIX
    numbers |= {f"{prefix}{name}": told[:, index] for index, name in enumerate(target.names)}
    return pd.concat([pd.DataFrame(words), pd.DataFrame(numbers)], axis="columns")


def _words(target: Target, truth: np.ndarray, told: np.ndarray) -> dict[str, np.ndarray]:
    """The emotion of each clip, and the one predicted; none of dimensions."""
    if not isinstance(target, Emotions):
        return {}
    names = np.array(target.names)
    return {"emotion": names[target.labels(truth)], "predicted": names[told.argmax(axis=1)]}


def write_predictions(
    path: Path, *, target: Target, clip_ids: Sequence[str], truth: np.ndarray, told: np.ndarray
) -> None:
    """Write the predictions (clips, names) of one model, whole or not at all; folders are made when missing.

    Raises:
        OSError: a disk that is full or cannot be written.
    """
    write_table(path, prediction_table(target=target, clip_ids=clip_ids, truth=truth, told=told))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table of predictions, whole or not at all; folders are made when missing.

    Raises:
        OSError: a disk that is full or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")


def read_table(path: Path) -> pd.DataFrame:
    """A table of predictions as it was written; names of clips, speakers and groups are text, also those of digits.

    Raises:
        FileNotFoundError, ValueError, pd.errors.ParserError: no such file, or no table.
    """
    header = pd.read_csv(path, nrows=0).columns
    words = (*_WORDS, *(name for name in header if name.startswith(GROUP)))
    return pd.read_csv(path, dtype=dict.fromkeys(words, str), keep_default_na=False)


def read_predictions(path: Path, objective: str | None = None) -> Predictions:
    """Read the predictions of one model, or of several seeds (column `seed`), of the same clips in the same order.

    Args:
        objective: by which the models are judged, which the file does not say; None for the usual one.

    Raises:
        ConfigError: no such file, or one that is not a table of predictions.
    """
    try:
        table = read_table(path)
        target = _target(list(table.columns), objective)
        seeds = table["seed"] if "seed" in table else pd.Series(1, index=table.index)
        runs = [own for _, own in table.groupby(seeds, sort=True)]
        if not target.names or not runs:
            raise ValueError("it holds no predictions")
        first = runs[0]
        if any(own["clip_id"].tolist() != first["clip_id"].tolist() for own in runs):
            raise ValueError("its seeds are not of the same clips")
        prefix = RATED if target.kind == DIMENSIONS else PREFIX
        return Predictions(
            target=target,
            clip_ids=tuple(first["clip_id"]),
            truth=_truth(target, first),
            told=np.stack([own[[prefix + name for name in target.names]].to_numpy(float) for own in runs]),
            speakers=_column(first, "speaker"),
            genders=_column(first, "gender"),
            groups={
                name.removeprefix(GROUP): _column(first, name) for name in map(str, first) if name.startswith(GROUP)
            },
        )
    except FileNotFoundError as error:
        raise ConfigError(
            f"there are no predictions at {path}: its run has not ended, or an older version made it"
        ) from error
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        raise ConfigError(f"{path} is not a table of predictions ({error!r}); run again, or restore a copy") from error


def _target(columns: Sequence[str], objective: str | None) -> Target:
    """What the columns of a table are predictions of."""
    found = {kind: _names(columns, prefix) for kind, prefix in _PREFIXES}
    kind = next((kind for kind, names in found.items() if names), EMOTION)
    return make_target(kind, found[kind], objective)


def _names(columns: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(prefix) for name in columns if name.startswith(prefix))


def _truth(target: Target, table: pd.DataFrame) -> np.ndarray:
    if target.kind == EMOTION:
        number = {word: index for index, word in enumerate(target.names)}
        return np.array([number[word] for word in table["emotion"]], dtype=np.int64)
    prefix = VOTED if target.kind == VOTES else ""
    return table[[prefix + name for name in target.names]].to_numpy(float)


def pooled(parts: Sequence[Predictions], splits: Sequence[str] = ()) -> Predictions:
    """The test clips of several folds as one set; seed k of it is seed k of every fold.

    Args:
        splits: the folds' names. Folds of `pairs` test a clip once for each of the other groups: there it is one clip
            for each, with the name of the group that was trained on before its own.

    Raises:
        ConfigError: folds of other targets or numbers of seeds, or a clip that two of them test.
    """
    first = parts[0]
    if any(part.target != first.target for part in parts):
        raise ConfigError("the folds predict different classes; run them with the same --classes and --target")
    seeds = [len(part.told) for part in parts]
    if len(set(seeds)) > 1:
        raise ConfigError(f"the folds have {', '.join(map(str, seeds))} seeds; run them with the same --seeds")
    trained = [trained_group(split) for split in splits] if splits else [None] * len(parts)
    clips = [
        clip if pair is None else f"{pair[1]} > {clip}"
        for part, pair in zip(parts, trained, strict=True)
        for clip in part.clip_ids
    ]
    if len(set(clips)) < len(clips):
        raise ConfigError("a clip is tested in more than one fold; these are not folds of one protocol")
    return Predictions(
        target=first.target,
        clip_ids=tuple(clips),
        truth=np.concatenate([part.truth for part in parts]),
        told=np.concatenate([part.told for part in parts], axis=1),
        speakers=np.concatenate([part.speakers for part in parts]),
        genders=np.concatenate([part.genders for part in parts]),
        groups={
            name: np.concatenate([part.groups[name] for part in parts])
            for name in first.groups
            if all(name in part.groups for part in parts)
        },
    )


def of_default_model(predictions: Predictions) -> np.ndarray:
    """What the default model of a run says, (clips, names): the mean of what its seeds say."""
    mean: np.ndarray = predictions.told.mean(axis=0)
    return mean


def cross_validated(files: Sequence[Path]) -> Predictions:
    """What a configuration's models say of clips that they were not trained on, as a single run.

    Args:
        files: of one model each, of the clips of its fold. Of a clip in several of them the mean counts.

    Returns:
        Every clip once, in the order of the names.

    Raises:
        ConfigError: see `read_predictions`.
    """
    each = [read_predictions(path) for path in files]
    said: dict[str, list[np.ndarray]] = {}
    truth: dict[str, np.ndarray] = {}
    for own in each:
        truth |= zip(own.clip_ids, own.truth, strict=True)
        for clip, told in zip(own.clip_ids, of_default_model(own), strict=True):
            said.setdefault(clip, []).append(told)
    clips = tuple(sorted(said))
    unknown = np.full(len(clips), "")
    return Predictions(
        target=each[0].target,
        clip_ids=clips,
        truth=np.array([truth[clip] for clip in clips]),
        told=np.stack([np.mean(said[clip], axis=0) for clip in clips])[None],
        speakers=unknown,
        genders=unknown,
    )


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy(str) if name in table else np.full(len(table), "")
