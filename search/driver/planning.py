"""From options to a plan, with the corpus and the split that it names; and what a resumed run may not change."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from search.driver.asked_space import asked_space, space_of_winner
from search.driver.locations import absolute_data, kept_storage, shown_location
from search.driver.option import Kind
from search.driver.options import OPTIONS, Options
from search.driver.protocol_folds import corpus_of
from search.driver.resuming import changed_options, changed_space
from search.driver.several import chosen_among, known_settings
from search.driver.space import early_features
from search.driver.starts import ALLOW, named_start, start_of
from search.driver.targets import check_losses, objective_of
from search.finals.group_scores import named_columns
from search.run_folder.architectures import architectures_of, model_text
from search.run_folder.limits import Limits
from search.run_folder.plan import FINALS_RULES, CorpusFacts, PartSpeakers, SearchPlan, SkippedFile, WarmStart
from search.run_folder.rungs import AUTO, default_grace_epochs
from search.study.defaults import settings_of
from search.study.warm_start import warm_start
from ser_core.architectures import default_config
from ser_core.clips import Manifest
from ser_core.config import ConfigError, raise_problems
from ser_core.protocol_names import LOGO
from ser_core.several_corpora import CORPUS
from ser_core.splits import Fold, Split, inner_folds, make_split, most_inner_folds
from spaces.knobs import Space, Value, knob_to_json
from spaces.several import SEVERAL, architectures_in, is_choice, parts_of

Prepared = tuple[SearchPlan, Manifest, Split]


def prepare(options: Options, old: SearchPlan | None, cache_dir: Path, console: Console) -> Prepared:
    """The plan that the options ask for, with its corpus and split; `old` is that of the run which they resume.

    Raises:
        ConfigError: options that are missing, wrong, or other than those of the run that they resume.
        CorpusError, SplitError: a corpus that cannot be used, or cannot be divided as asked.
    """
    return _new(options, cache_dir, console) if old is None else _resumed(options, old, cache_dir, console)


def _new(options: Options, cache_dir: Path, console: Console) -> Prepared:
    options.check_complete()
    chosen = {name: value for name, value in vars(options).items() if OPTIONS[name].kind is Kind.PLAN}
    chosen = {name: OPTIONS[name].default if value is None else value for name, value in chosen.items()}
    asked, split_kind, limits = chosen["model"], chosen.pop("split"), Limits(**options.given(Kind.LIMIT))
    model = SEVERAL if is_choice(asked) else asked
    raise_problems(limits.problems())
    warm: WarmStart | None = None
    if options.configuration is not None:
        warm, space, fixed = space_of_winner(options.configuration, model, chosen["target"], options)
        limits, chosen["finalists"] = replace(limits, trials=1), 1
    else:
        space, fixed = asked_space(asked, chosen["target"], options)
        if options.warm_start is not None:  # read once, so that resuming does not need that study
            warm = warm_start(options.warm_start, space, fixed, model)
    if options.finalists is not None and options.finalists > limits.trials:
        raise ConfigError(
            f"--finalists {options.finalists} are chosen from the trials, and --trials is {limits.trials}; lower "
            f"--finalists or raise --trials"
        )
    raise_problems(_choice_problems(architectures_in(space), limits, chosen["grace_epochs"]))
    early_features(model, space, fixed)  # raises for features whose settings do not fit one another
    storage = "" if options.storage is None else kept_storage(options.storage)
    data, test_data = chosen["data"], chosen["test_data"]
    chosen["objective"] = objective_of(chosen["target"], chosen["objective"])
    check_losses(model, space, fixed, chosen["target"])
    manifest = corpus_of(
        data, test_data, chosen["classes"], chosen["skip_bad"], cache_dir, console, target=chosen["target"],
        scale=chosen["scale"],
    )  # fmt: skip
    manifest = replace(manifest, objective=chosen["objective"])
    split = make_split(manifest, split_kind or _default_split(manifest, test_data), chosen["seed"])
    _check_balance(chosen["balance"], manifest, split)
    named_columns(chosen["groups"], manifest, split.kind)  # raises for a column that is not there
    if warm is not None and split.speaker_independent:
        warm = warm.tested_on(manifest.corpus, manifest.speakers[split.test].tolist())
    start = None
    if folder := fixed.get("start"):
        start = start_of(Path(str(folder)), manifest, split, allowed=options.allow_heard_test)
    elif options.allow_heard_test:
        raise ConfigError(f"{ALLOW} is for a run that begins with a trained model, --pretrained RUN; leave it out")
    folds = options.folds
    if folds is None and (limits.trials == 1 or split.kind == "manifest"):
        folds = 1  # a single trial is compared with none; whoever names validation speakers wants to be judged on them
    chosen["folds"] = wanted_folds(folds, model, space, fixed, manifest, split, chosen["seed"])
    chosen |= {
        "model": model,
        "data": absolute_data(data),
        "test_data": absolute_data(test_data),
        "limits": limits,
        "storage": storage,
        "warm_start": warm,
        "start": start,
    }
    plan = make_plan(manifest, split, space, fixed, command=options.command(shown_location), **chosen)
    return plan, manifest, split


def _resumed(options: Options, old: SearchPlan, cache_dir: Path, console: Console) -> Prepared:
    """The old plan with the limits and places of this call; whatever else is asked for must be what the run has."""
    if options.model is not None and (chosen_among(options.model) or (options.model,)) != architectures_of(old):
        raise ConfigError(
            f"--resume {options.resume} is a run of {model_text(old, None)}; leave out --model {options.model}"
        )
    if options.configuration is not None:
        raise ConfigError("--resume goes on as the run was started; leave --configuration out")
    if options.warm_start is not None:
        raise ConfigError(
            "--resume goes on with the configurations that the run was started with; leave --warm-start out"
        )
    if options.allow_heard_test:
        raise ConfigError(f"--resume goes on as the run was started; leave {ALLOW} out")
    changes = changed_options(options, old)
    if asked := options.given(Kind.SPACE):
        changes += changed_space(old, asked, *asked_space(asked_model(old), old.target, options))
    skip_bad, data = options.skip_bad or old.skip_bad, options.data or old.data
    test_data = options.test_data or old.test_data
    limits = replace(old.limits, **options.given(Kind.LIMIT))
    raise_problems(limits.problems() + _choice_problems(architectures_in(old.knobs), limits, old.grace_epochs))
    if not changes:
        manifest = corpus_of(
            data, test_data, old.classes, skip_bad, cache_dir, console, target=old.target, scale=old.scale
        )
        manifest = replace(manifest, objective=old.objective)
        split = make_split(manifest, old.split, old.seed)
        plan = replace(
            old,
            corpus=corpus_facts(manifest),
            **_parts(manifest, split, old.folds, old.seed, old.finals_rule),
            skip_bad=skip_bad,
            data=absolute_data(data),
            test_data=absolute_data(test_data),
            limits=limits,
            storage=old.storage if options.storage is None else kept_storage(options.storage),
            versions=library_versions(),
        )
        changes = old.differences(replace(plan, skip_bad=old.skip_bad))
    if changes:
        lines = [f"--resume {options.resume}: the run was planned otherwise, and results would mix:", *changes]
        raise ConfigError("\n".join(lines))
    return plan, manifest, split


def wanted_folds(
    asked: int | str | None,
    model: str,
    space: Space,
    fixed: Mapping[str, Value],
    manifest: Manifest,
    split: Split,
    seed: int,
) -> int | str:
    """The number of inner folds as a plan keeps it, from what was asked for; None for one after another, if possible.

    Raises:
        ConfigError: neither a number nor `AUTO`; folds one after another that cannot be had.
    """
    if asked is not None and str(asked).isdecimal():
        return int(asked)
    if asked not in (None, AUTO):
        raise ConfigError(f"--folds must be a whole number of at least 1, or {AUTO}; got {asked}")
    problems = []
    name = "optim.early_stop_epochs"
    parts = parts_of(model, space, fixed).items()
    if any(name in own.knobs or default_config(each, settings).params()[name] for each, (own, settings) in parts):
        problems.append(
            f"folds one after another have equally many epochs, so {name} must be 0: leave it out of --set "
            f"and --space, or give --folds a number"
        )
    if len(most_inner_folds(manifest, split, seed)) < 2:
        problems.append(
            f"--folds {AUTO} needs at least two speakers besides the test speakers, and a split that keeps "
            f"speakers apart; use --folds 1"
        )
    if asked is not None:
        raise_problems(problems)
    return 1 if problems else AUTO


def _choice_problems(choices: Sequence[str], limits: Limits, grace_epochs: object) -> list[str]:
    """What a search that chooses among several architectures cannot do; nothing for a search of one."""
    if not choices:
        return []
    rules = [
        (
            limits.trials >= len(choices),
            f"--model {SEVERAL} tries the recipe of each of {', '.join(choices)}, so --trials must be at least "
            f"{len(choices)}; got {limits.trials}",
        ),
        (
            limits.epochs_total is None,
            f"--epochs-total {limits.epochs_total}: epochs of several architectures differ in cost; with --model "
            f"{SEVERAL} limit the search by --hours or --trials",
        ),
        (
            grace_epochs != AUTO,
            f"--grace-epochs {AUTO} finds the first rung of one architecture; with --model {SEVERAL} leave it out, or "
            f"give a number of epochs of the longest schedule",
        ),
    ]
    return [message for holds, message in rules if not holds]


def asked_model(plan: SearchPlan) -> str:
    """The --model that asks for the architectures of a plan."""
    return f"{SEVERAL}:{','.join(architectures_of(plan))}" if is_choice(plan.model) else plan.model


def _default_split(manifest: Manifest, test_data: str) -> str:
    """The test corpus where there is one, the parts that a manifest brings, else speakers kept apart."""
    if test_data:
        return f"{LOGO}:{CORPUS}:{manifest.column(CORPUS)[-1]}"
    return "manifest" if any(clip.part is not None for clip in manifest.clips) else "speaker"


def _check_balance(column: str, manifest: Manifest, split: Split) -> None:
    """Raise `ConfigError` or `CorpusError` for a column that does not divide the clips that are trained on."""
    if column and len(set(manifest.column(column)[split.train].tolist())) < 2:
        raise ConfigError(f"--balance {column}: all clips to train on have the same {column}; leave it out")


def own_options(options: Options, model: str) -> Options:
    """The options as far as they concern an architecture: `--set model.size=tiny` does not concern the perceptron."""
    known = known_settings(model)

    def own(texts: list[str] | None) -> list[str] | None:
        return [text for text in texts or () if text.partition("=")[0] in known] or None

    pretrained = options.pretrained if "model.pretrained" in known or named_start(options.pretrained) else None
    epochs = options.max_epochs if "optim.epochs" in known else None
    return replace(options, pretrained=pretrained, max_epochs=epochs, set_=own(options.set_), space=own(options.space))


def make_plan(manifest: Manifest, split: Split, space: Space, fixed: Mapping[str, Value], **options: Any) -> SearchPlan:
    """The plan for a corpus and its split.

    `options` are the other fields; `grace_epochs` is None for the default, else as the command line has it.
    """
    parts = parts_of(options["model"], space, fixed)
    epochs = max(default_config(name, settings).optim.epochs for name, (_, settings) in parts.items())
    grace = options.pop("grace_epochs")
    if grace is None:
        grace = default_grace_epochs(epochs)
    return SearchPlan(
        max_epochs=epochs,
        grace_epochs=int(grace) if str(grace).isdecimal() else grace,
        corpus=corpus_facts(manifest),
        finals_rule=FINALS_RULES[-1],
        **_parts(manifest, split, options["folds"], options["seed"], FINALS_RULES[-1]),
        synthetic=manifest.synthetic,
        split=split.kind,
        fixed=dict(fixed),
        defaults=settings_of(options["model"], architectures_in(space)),
        space={name: knob_to_json(knob) for name, knob in space.knobs.items()},
        first=[dict(params) for params in space.first],
        versions=library_versions(),
        **options,
    )


def inner_of(manifest: Manifest, split: Split, folds: int | str, seed: int) -> tuple[Fold, ...]:
    """The inner folds: as many as a plan names, or as the speakers allow where it names none."""
    if isinstance(folds, int) and folds > 1:
        return inner_folds(manifest, split, folds, seed)
    return most_inner_folds(manifest, split, seed)


def _parts(manifest: Manifest, split: Split, folds: int | str, seed: int, finals_rule: int) -> dict[str, Any]:
    """Who is in which part, as a plan keeps it."""

    def names(rows: Any) -> list[str]:
        return sorted(set(manifest.speakers[rows].tolist()))

    inner = inner_of(manifest, split, folds, seed) if folds != 1 or finals_rule > 1 else ()
    validated = [names(fold.evaluate) for fold in inner]
    return {
        "speakers": PartSpeakers(fit=names(split.train), validation=names(split.validation), test=names(split.test)),
        "inner_folds": validated if folds != 1 else [],
        "final_folds": validated if finals_rule > 1 and len(inner) > 1 else [],
        "speaker_independent": split.speaker_independent,
    }


def corpus_facts(manifest: Manifest) -> CorpusFacts:
    """What every output says about the corpus."""
    return CorpusFacts(
        name=manifest.corpus,
        clips=len(manifest.clips),
        speakers=len(set(manifest.speakers.tolist())),
        classes=list(manifest.target.names),
        skipped=[SkippedFile(path=str(item.path), reason=item.reason) for item in manifest.skipped],
        synthetic=manifest.synthetic,
        licence=manifest.licence,
        citation=manifest.citation,
        fingerprint=manifest.fingerprint(),
        mapped=manifest.mapped,
        scales={} if manifest.ratings is None else manifest.ratings.scales,
    )


def library_versions() -> dict[str, str]:
    """Versions of what can change a result."""
    packages = ("ser-search", "torch", "torchaudio", "timm", "transformers", "ray", "optuna", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
