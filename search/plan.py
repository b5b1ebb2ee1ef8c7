"""All that defines a run, saved in its folder before the first trial; what `--resume` reads."""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.asha import AUTO, GRACE_TRIALS, default_grace_epochs
from search.sampler import SAMPLERS, parse_knob
from search.warm_start import WarmStart
from ser_core.clips import Manifest
from ser_core.config import Config, ConfigError, raise_problems
from ser_core.features import settings_key
from ser_core.models import default_config
from ser_core.splits import Split, inner_folds
from ser_core.whole_file import write_whole
from spaces import space_for
from spaces.knobs import Choice, Float, Int, Knob, KnobError, Space, Value, knob_from_json, knob_to_json

PLAN_FILE = "plan.json"
MOST_STORES = 8
"""Feature settings that a search may range over; each costs a pass over the corpus and its size in memory."""

SPEAKER_NORMALISATION = "features.speaker_normalisation"
"""The setting that makes a result transductive."""

SET_BY_OPTIONS = {"optim.epochs": "--max-epochs", "seed": "--seed", "model.pretrained": "--pretrained"}
"""Settings that have an option of their own and are neither knobs nor `--set`."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be changed when a run is resumed: it does not change what a result means.

    Attributes:
        trials: to start, failed ones included.
        hours: wall time of the whole job, the finals included; None for no limit.
        epochs_total: epochs over all trials of the search; None for no limit.
        concurrency: trials at once; 0 for as many as fit.
        gpus_per_trial: None for one where the cluster has any, else none; "auto" for a share that is measured.
    """

    trials: int = 50
    hours: float | None = None
    epochs_total: int | None = None
    address: str | None = None
    concurrency: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | str | None = None

    def problems(self) -> list[str]:
        """What is out of bounds, one line each."""
        rules = [
            (self.trials >= 1, f"--trials must be at least 1; got {self.trials}"),
            (self.hours is None or self.hours > 0, f"--hours must be above 0; got {self.hours}"),
            (
                self.epochs_total is None or self.epochs_total >= 1,
                f"--epochs-total must be at least 1; got {self.epochs_total}",
            ),
            (self.concurrency >= 0, f"--concurrency must be at least 0; got {self.concurrency}"),
            (self.cpus_per_trial > 0, f"--cpus-per-trial must be above 0; got {self.cpus_per_trial}"),
            (
                self.gpus_per_trial in (None, AUTO) or float(self.gpus_per_trial or 0) >= 0,
                f"--gpus-per-trial must be at least 0, or {AUTO}; got {self.gpus_per_trial}",
            ),
            (
                not (self.address or "").startswith("ray://"),
                f"--address must be that of a cluster that this machine is part of, such as auto; got {self.address}. "
                f"Through ray:// (Ray Client), Ray Tune would judge trials and write records on the cluster's head, "
                f"without this machine's run folder and features: run the search there, by `ray submit`, `ray exec` or "
                f"`ray job submit` (README, Clusters)",
            ),
        ]
        return [message for holds, message in rules if not holds]


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """What a run searches, on what, and how.

    `space` holds the knobs, `fixed` all other settings that were changed; `grace_epochs` is a number or "auto". With
    several `folds`, a trial is scored by its mean over `inner_folds`, the validation speakers of each.
    """

    model: str
    data: str
    classes: str | None
    skip_bad: bool
    split: str
    corpus: Mapping[str, Any]
    speakers: Mapping[str, Sequence[str]]
    speaker_independent: bool
    synthetic: bool
    max_epochs: int
    grace_epochs: int | str
    reduction: float
    finalists: int
    seeds: int
    sampler: str
    seed: int
    fixed: Mapping[str, Value]
    space: Mapping[str, Mapping[str, Any]]
    first: Sequence[Mapping[str, Value]]
    limits: Limits
    folds: int = 1
    inner_folds: Sequence[Sequence[str]] = ()
    warm_start: WarmStart | None = None
    storage: str = ""
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = [
            (self.max_epochs >= 1, f"--max-epochs must be at least 1; got {self.max_epochs}"),
            (
                self.grace_epochs == AUTO or (isinstance(self.grace_epochs, int) and self.grace_epochs >= 1),
                f"--grace-epochs must be a whole number of at least 1, or auto; got {self.grace_epochs}",
            ),
            (
                self.grace_epochs != AUTO or self.limits.trials > GRACE_TRIALS,
                f"--grace-epochs auto learns from the first {GRACE_TRIALS} complete trials, so --trials must be above "
                f"{GRACE_TRIALS}; got {self.limits.trials}",
            ),
            (self.reduction > 1, f"--reduction must be above 1; got {self.reduction}"),
            (self.folds >= 1, f"--folds must be at least 1; got {self.folds}"),
            (self.finalists >= 1, f"--finalists must be at least 1; got {self.finalists}"),
            (self.seeds >= 1, f"--seeds must be at least 1; got {self.seeds}"),
            (self.seed >= 0, f"--seed must be at least 0; got {self.seed}"),
            (self.sampler in SAMPLERS, f"--sampler must be one of {', '.join(SAMPLERS)}; got {self.sampler!r}"),
        ]
        raise_problems([message for holds, message in rules if not holds] + self.limits.problems())

    @property
    def first_rung(self) -> int | None:
        """Epochs of ASHA's first rung; None when the search is to find it."""
        return self.grace_epochs if isinstance(self.grace_epochs, int) else None

    @property
    def knobs(self) -> Space:
        """The space as knobs."""
        return Space(knobs={name: knob_from_json(knob) for name, knob in self.space.items()}, first=tuple(self.first))

    @property
    def transductive(self) -> bool:
        """True when a configuration may normalise by speaker, for which the test speakers' clips are needed."""
        knob = self.space.get(SPEAKER_NORMALISATION, {})
        return bool(self.fixed.get(SPEAKER_NORMALISATION)) or True in knob.get("values", ())

    def save(self, folder: Path) -> None:
        """Write `plan.json`, whole or not at all."""
        write_whole(folder / PLAN_FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> SearchPlan:
        """The plan of a run folder.

        Raises:
            ConfigError: no plan there, or one that cannot be read.
        """
        path = folder / PLAN_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            warm = values.get("warm_start") and WarmStart(**values["warm_start"])
            return cls(**{**values, "limits": Limits(**values["limits"]), "warm_start": warm})
        except (FileNotFoundError, NotADirectoryError) as error:
            inside = sorted(each.parent.name for each in folder.glob(f"*/{PLAN_FILE}"))
            several = f", but several runs: {', '.join(inside)}; name one of them" if inside else ""
            raise ConfigError(f"{folder} is no run folder: it holds no {PLAN_FILE}{several}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path} is not a plan that this version can read: {error}") from error

    def differences(self, other: SearchPlan) -> list[str]:
        """Where another plan asks for another search, one line each; limits, storage and wording apart."""
        mine, its = asdict(self), asdict(other)
        ignored = {"limits", "command", "versions", "data", "storage"}
        return [
            f"{name}: {mine[name]!r} in the run, {its[name]!r} now"
            for name in mine
            if name not in ignored and json.dumps(mine[name]) != json.dumps(its[name])
        ]


def resolve_space(
    model: str, *, sets: Sequence[str], spaces: Sequence[str], max_epochs: int | None, pretrained: str | None
) -> tuple[Space, dict[str, Value]]:
    """The space after `--set` and `--space`, and every setting that is fixed.

    Args:
        sets: `name=value` each.
        spaces: `name=low:high[:log]` or `name=value,value` each.

    Raises:
        ConfigError: all that is wrong with names and values, at once.
    """
    config, problems = default_config(model), []
    fixed: dict[str, Value] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        try:
            if not equals:
                raise ConfigError(f"--set takes NAME=VALUE; got {text!r}")
            if name in SET_BY_OPTIONS:
                raise ConfigError(f"--set {text}: {name} has an option of its own, {SET_BY_OPTIONS[name]}")
            fixed[name] = config.parsed(name, value)
        except ConfigError as error:
            problems.append(str(error))
    if pretrained is not None:
        if "model.pretrained" in config.params():
            fixed["model.pretrained"] = pretrained
        else:
            problems.append(f"--pretrained {pretrained}: {model} has no pretrained weights; leave the option out")
    if max_epochs is not None:
        fixed["optim.epochs"] = max_epochs
    space = space_for(model)
    changes: dict[str, Knob] = {}
    for text in spaces:
        name, _, value = text.partition("=")
        try:
            changes[name] = _checked_knob(config, name, value, space.knobs.get(name))
        except (ConfigError, ValueError) as error:
            problems.append(f"--space {text}: {error}")
    problems += [f"{name} is both --set and --space" for name in sorted(set(fixed) & set(changes))]
    raise_problems(problems)
    default_config(model, fixed)  # raises for values out of bounds
    return space.replaced(changes).fixed(fixed), fixed


def _checked_knob(config: Config, name: str, text: str, old: Knob | None) -> Knob:
    if name in SET_BY_OPTIONS:
        raise ConfigError(f"{name} is set by {SET_BY_OPTIONS[name]} and cannot be searched")
    if name not in config.params():
        raise ConfigError(f"unknown setting {name!r}; known: {', '.join(config.params())}")
    value = config.params()[name]
    knob = parse_knob(text, old if old is not None else _like(value))
    if isinstance(knob, Choice):
        return replace(knob, values=tuple(config.parsed(name, str(item)) for item in knob.values))
    if isinstance(knob, Float) and type(value) is not float:
        raise KnobError(f"{name} takes {type(value).__name__} values; a range of real numbers does not fit")
    if isinstance(knob, Int) and type(value) is not int:
        raise KnobError(f"{name} takes {type(value).__name__} values; a range of whole numbers does not fit")
    return knob


def _like(value: Value) -> Knob | None:
    """A knob that tells `parse_knob` that a setting is a real number."""
    return Float(low=0.0, high=1.0) if isinstance(value, float) else None


def feature_settings(model: str, space: Space, fixed: Mapping[str, Value]) -> dict[str, Config]:
    """Every feature content that the space can ask for: `settings_key` -> a configuration that has it.

    Raises:
        ConfigError: a knob that decides the features without a finite number of values, or more contents than
            `MOST_STORES`.
    """

    def config_for(params: Mapping[str, Value]) -> Config:
        return default_config(model, {**fixed, **params})

    deciding = {
        name: _values(name, knob)
        for name, knob in space.knobs.items()
        if len({settings_key(config_for({name: value}).features) for value in _probes(knob)}) > 1
    }
    found: dict[str, Config] = {}
    for values in itertools.product(*deciding.values()):
        config = config_for(dict(zip(deciding, values, strict=True)))
        found.setdefault(settings_key(config.features), config)
    if len(found) > MOST_STORES:
        raise ConfigError(
            f"the space asks for {len(found)} kinds of features, more than {MOST_STORES}; narrow {', '.join(deciding)}"
        )
    return found


def _probes(knob: Knob) -> Sequence[Value]:
    """Values that show whether a knob matters for something: all of them, or both ends of a range."""
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)


def _values(name: str, knob: Knob) -> Sequence[Value]:
    if isinstance(knob, Choice):
        return knob.values
    if isinstance(knob, Int) and not knob.log:
        return range(knob.low, knob.high + 1, knob.step)
    raise ConfigError(f"{name} decides the stored features, so it needs listed values: --space {name}=value,value")


def make_plan(manifest: Manifest, split: Split, space: Space, fixed: Mapping[str, Value], **options: Any) -> SearchPlan:
    """The plan for a corpus and its split.

    `options` are the other fields; `grace_epochs` is None for the default, else as the command line has it.
    """
    config = default_config(options["model"], fixed)
    grace = options.pop("grace_epochs")
    if grace is None:
        grace = default_grace_epochs(config.optim.epochs)
    return SearchPlan(
        max_epochs=config.optim.epochs,
        grace_epochs=int(grace) if str(grace).isdecimal() else grace,
        corpus=corpus_facts(manifest),
        speakers={
            "fit": sorted(set(manifest.speakers[split.train].tolist())),
            "validation": sorted(set(manifest.speakers[split.validation].tolist())),
            "test": sorted(set(manifest.speakers[split.test].tolist())),
        },
        inner_folds=_fold_speakers(manifest, split, options) if options["folds"] > 1 else [],
        speaker_independent=split.speaker_independent,
        synthetic=manifest.synthetic,
        split=split.kind,
        fixed=dict(fixed),
        space={name: knob_to_json(knob) for name, knob in space.knobs.items()},
        first=[dict(params) for params in space.first],
        versions=library_versions(),
        **options,
    )


def _fold_speakers(manifest: Manifest, split: Split, options: Mapping[str, Any]) -> list[list[str]]:
    folds = inner_folds(manifest, split, options["folds"], options["seed"])
    return [sorted(set(manifest.speakers[fold.evaluate].tolist())) for fold in folds]


def corpus_facts(manifest: Manifest) -> dict[str, Any]:
    """What every output says on the corpus."""
    return {
        "name": manifest.corpus,
        "clips": len(manifest.clips),
        "speakers": len(set(manifest.speakers.tolist())),
        "classes": list(manifest.classes),
        "skipped": [{"path": str(item.path), "reason": item.reason} for item in manifest.skipped],
        "synthetic": manifest.synthetic,
        "licence": manifest.licence,
        "citation": manifest.citation,
        "fingerprint": manifest.fingerprint(),
    }


def library_versions() -> dict[str, str]:
    """Versions of what can change a result."""
    packages = ("ser-search", "torch", "torchaudio", "timm", "transformers", "ray", "optuna", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
