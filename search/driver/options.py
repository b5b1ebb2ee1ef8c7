"""From the options of the command line to a plan, with the corpus and the split that it names."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from search.driver.space import feature_settings, resolve_space
from search.run_folder.plan import Limits, SearchPlan, WarmStart
from search.run_folder.rungs import default_grace_epochs
from search.study.storage import absolute_storage, without_password
from search.study.warm_start import warm_start, winner_of
from ser_core.architectures import default_config
from ser_core.clips import Manifest
from ser_core.config import ConfigError
from ser_core.corpora import corpora, load_corpus, progress_bars
from ser_core.splits import Split, inner_folds, make_split
from spaces.knobs import Space, Value, knob_to_json

DEFAULTS: dict[str, Any] = {
    "model": None, "data": None, "classes": None, "skip_bad": False, "split": None, "seed": 0, "sampler": "tpe",
    "grace_epochs": None, "reduction": 3.0, "finalists": 3, "seeds": 3, "folds": 1,
    "storage": "",
}  # fmt: skip
"""Of options that a plan keeps; a resumed run takes its plan's instead, so the options themselves default to None."""
PLAN_OPTIONS = tuple(DEFAULTS)
LIMIT_OPTIONS = tuple(vars(Limits()))
"""Options that may be changed when a run is resumed."""
SEARCH_OPTIONS = (
    "trials", "epochs_total", "max_epochs", "grace_epochs", "reduction", "sampler", "set_", "space", "warm_start",
    "pretrained", "finalists",
)  # fmt: skip
"""What means nothing when a configuration is taken as it is."""


def prepare(
    given: dict[str, Any], old: SearchPlan | None, cache_dir: Path, console: Console
) -> tuple[SearchPlan, Manifest, Split]:
    """The plan that the options ask for, the old plan's where they are silent, with its corpus and split."""
    missing = [f"--{name}" for name in ("model", "data") if name not in given and old is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} must be given, unless --resume names a run; see --help")
    if old is not None and given.get("model", old.model) != old.model:
        raise ConfigError(f"--resume {given['resume']} is a run of {old.model}; leave out --model {given['model']}")
    kept = {name: getattr(old, name) for name in PLAN_OPTIONS} if old is not None else DEFAULTS
    options = {name: given.get(name, kept[name]) for name in PLAN_OPTIONS}
    options["skip_bad"] = given["skip_bad"] or kept["skip_bad"]
    model, split_kind = options["model"], options.pop("split")
    limits = Limits() if old is None else old.limits
    options["limits"] = replace(limits, **{name: given[name] for name in LIMIT_OPTIONS if name in given})
    if "configuration" in given:
        _check_configuration(given, old)
        options["warm_start"], space, fixed = winner_of(given["configuration"], model)
        options |= {"limits": replace(options["limits"], trials=1), "finalists": 1}
    else:
        space, fixed = _space(model, given, old)
        options["warm_start"] = _warm_start(given, old, space, fixed)
    feature_settings(model, space, fixed)  # raises for a space over too many kinds of features
    if options["storage"]:
        options["storage"] = without_password(absolute_storage(options["storage"], "--storage"))
    with progress_bars(console) as progress:
        manifest = load_corpus(
            options["data"],
            skip_bad=options["skip_bad"],
            classes=options["classes"],
            cache_dir=cache_dir,
            progress=progress,
        )
    split = make_split(manifest, split_kind or _default_split(manifest), options["seed"])
    if options["warm_start"] is not None and split.speaker_independent:
        test_speakers = manifest.speakers[split.test].tolist()
        options["warm_start"] = options["warm_start"].tested_on(manifest.corpus, test_speakers)
    options["data"] = absolute_data(options["data"])
    options["command"] = _command(given) if old is None else old.command
    return make_plan(manifest, split, space, fixed, **options), manifest, split


def _check_configuration(given: Mapping[str, Any], old: SearchPlan | None) -> None:
    """Raise `ConfigError` for options that would change what `--configuration` fixes."""
    if old is not None:
        raise ConfigError("--resume goes on as the run was started; leave --configuration out")
    if others := [f"--{name.strip('_').replace('_', '-')}" for name in SEARCH_OPTIONS if name in given]:
        raise ConfigError(f"--configuration searches nothing, so it excludes {', '.join(others)}; leave them out")


def _space(model: str, given: dict[str, Any], old: SearchPlan | None) -> tuple[Space, dict[str, Value]]:
    asked = [name for name in ("set_", "space", "max_epochs", "pretrained") if name in given]
    if old is not None and not asked:
        return old.knobs, dict(old.fixed)
    return resolve_space(
        model,
        sets=given.get("set_", ()),
        spaces=given.get("space", ()),
        max_epochs=given.get("max_epochs"),
        pretrained=given.get("pretrained"),
    )


def _warm_start(
    given: dict[str, Any], old: SearchPlan | None, space: Space, fixed: dict[str, Value]
) -> WarmStart | None:
    """What the plan takes from an earlier study; read once, so that resuming does not need that study."""
    if old is None:
        return warm_start(given["warm_start"], space, fixed) if "warm_start" in given else None
    if "warm_start" in given:
        raise ConfigError(
            "--resume goes on with the configurations that the run was started with; leave --warm-start out"
        )
    return old.warm_start


def _command(given: dict[str, Any]) -> str:
    """The command line as it may be kept: a password in a URL is left out."""
    arguments = sys.argv[1:]
    for option in ("storage", "warm_start"):
        if location := given.get(option, ""):
            arguments = [argument.replace(location, shown_location(location)) for argument in arguments]
    return shlex.join(["ser-search", *arguments])


def shown_location(text: str) -> str:
    """A storage, followed or not by #NAME of a study, without its password."""
    location, mark, name = text.partition("#")
    return without_password(location) + mark + name


def absolute_data(data: str) -> str:
    """Paths in a plan hold wherever the run is resumed from."""
    path = Path(data).expanduser()
    return str(path.resolve()) if path.exists() and data not in corpora() else data


def _default_split(manifest: Manifest) -> str:
    """The parts that a manifest brings, else speakers kept apart."""
    return "manifest" if any(clip.part is not None for clip in manifest.clips) else "speaker"


def default_folder(plan: SearchPlan) -> Path:
    """Where a run lies when --run-dir does not say."""
    split = plan.split.replace(":", "")
    return Path("runs") / f"{plan.model}-{plan.corpus['name']}-{split}-{datetime.now():%Y%m%d-%H%M%S}"


def own_options(given: dict[str, Any], model: str) -> dict[str, Any]:
    """The options as far as they concern an architecture: `--set model.size=tiny` does not concern the perceptron."""
    known = default_config(model).params()
    own = {name: value for name, value in given.items() if name != "pretrained" or "model.pretrained" in known}
    for option in ("set_", "space"):
        if option in own:
            own[option] = [text for text in own[option] if text.partition("=")[0] in known]
    return own


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
