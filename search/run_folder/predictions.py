"""Predictions as CSV files: one line per clip, with the true emotion and the probability of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ser_core.config import ConfigError
from ser_core.whole_file import replacing

_WORDS = ("clip_id", "speaker", "gender", "emotion", "predicted")
"""Columns that are text, also where all that stands there are digits."""
PREFIX = "p_"
"""Before the name of a class, it heads the column of its probabilities."""
GROUP = "group:"
"""Before the name of a column of the data, it heads what the clips have there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What models said of clips.

    Attributes:
        classes: emotion words. clip_ids: one per clip.
        labels: (clips,) class indices.
        probabilities: (runs, clips, classes) float, a run per seed.
        speakers, genders: (clips,) names; "" where the file does not say.
        groups: column of the data -> (clips,) str, by which clips are grouped; "" where unknown.
    """

    classes: tuple[str, ...]
    clip_ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    speakers: np.ndarray
    genders: np.ndarray
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)


def prediction_table(
    *,
    clip_ids: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    facts: Mapping[str, Sequence[object] | np.ndarray | int] | None = None,
) -> pd.DataFrame:
    """Labels (clips,) and probabilities (clips, classes) of one model as a table; `facts` are further columns."""
    columns = {
        "clip_id": list(clip_ids),
        **(facts or {}),
        "emotion": np.array(classes)[labels],
        "predicted": np.array(classes)[probabilities.argmax(axis=1)],
    }
    shares = pd.DataFrame(probabilities, columns=[f"{PREFIX}{word}" for word in classes])
    return pd.concat([pd.DataFrame(columns), shares], axis=1)


def write_predictions(
    path: Path, *, clip_ids: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> None:
    """Write the predictions (clips, classes) of one model, whole or not at all; folders are made when missing.

    Raises:
        OSError: a disk that is full or cannot be written.
    """
    write_table(path, prediction_table(clip_ids=clip_ids, labels=labels, probabilities=probabilities, classes=classes))


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


def read_predictions(path: Path) -> Predictions:
    """Read the predictions of one model, or of several seeds (column `seed`), of the same clips in the same order.

    Raises:
        ConfigError: no such file, or one that is not a table of predictions.
    """
    try:
        table = read_table(path)
        classes = tuple(name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX))
        seeds = table["seed"] if "seed" in table else pd.Series(1, index=table.index)
        runs = [own for _, own in table.groupby(seeds, sort=True)]
        if not classes or not runs:
            raise ValueError("it holds no predictions")
        first = runs[0]
        if any(own["clip_id"].tolist() != first["clip_id"].tolist() for own in runs):
            raise ValueError("its seeds are not of the same clips")
        number = {word: index for index, word in enumerate(classes)}
        return Predictions(
            classes=classes,
            clip_ids=tuple(first["clip_id"]),
            labels=np.array([number[word] for word in first["emotion"]], dtype=np.int64),
            probabilities=np.stack([own[[PREFIX + word for word in classes]].to_numpy(float) for own in runs]),
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


def pooled(parts: Sequence[Predictions]) -> Predictions:
    """The test clips of several folds as one set; seed k of it is seed k of every fold.

    Raises:
        ConfigError: folds of other classes or numbers of seeds, or a clip that two of them test.
    """
    first = parts[0]
    if any(part.classes != first.classes for part in parts):
        raise ConfigError("the folds predict different classes; run them with the same --classes")
    seeds = [len(part.probabilities) for part in parts]
    if len(set(seeds)) > 1:
        raise ConfigError(f"the folds have {', '.join(map(str, seeds))} seeds; run them with the same --seeds")
    clips = [clip for part in parts for clip in part.clip_ids]
    if len(set(clips)) < len(clips):
        raise ConfigError("a clip is tested in more than one fold; these are not folds of one protocol")
    return Predictions(
        classes=first.classes,
        clip_ids=tuple(clips),
        labels=np.concatenate([part.labels for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts], axis=1),
        speakers=np.concatenate([part.speakers for part in parts]),
        genders=np.concatenate([part.genders for part in parts]),
        groups={
            name: np.concatenate([part.groups[name] for part in parts])
            for name in first.groups
            if all(name in part.groups for part in parts)
        },
    )


def of_default_model(predictions: Predictions) -> np.ndarray:
    """What the default model of a run says, (clips, classes): the mean of its seeds' probabilities."""
    mean: np.ndarray = predictions.probabilities.mean(axis=0)
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
    labels: dict[str, int] = {}
    for own in each:
        labels |= zip(own.clip_ids, own.labels.tolist(), strict=True)
        for clip, probabilities in zip(own.clip_ids, of_default_model(own), strict=True):
            said.setdefault(clip, []).append(probabilities)
    clips = tuple(sorted(said))
    unknown = np.full(len(clips), "")
    return Predictions(
        classes=each[0].classes,
        clip_ids=clips,
        labels=np.array([labels[clip] for clip in clips], dtype=np.int64),
        probabilities=np.stack([np.mean(said[clip], axis=0) for clip in clips])[None],
        speakers=unknown,
        genders=unknown,
    )


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy(str) if name in table else np.full(len(table), "")
