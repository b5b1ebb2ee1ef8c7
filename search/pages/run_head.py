"""The head of a run's page as plain text: what was done, how it ended, the numbers, the best configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from search.comparison.comparable import Banner
from search.run_folder.architectures import fixed_of, model_text, trial_epochs
from search.run_folder.caveat_facts import facts_of_run
from search.run_folder.plan import SkippedFile
from search.run_folder.run_score import headline_of, run_score, scores_of_result, validation_score
from search.run_folder.run_view import RunView
from search.run_folder.standing import best_trial, tally
from search.run_folder.start_text import start_sentences
from search.run_folder.verdict import tuning_sentence
from search.wording import (
    NONE,
    caveats,
    clip_text,
    count,
    duration,
    interval,
    is_number,
    value_text,
)
from ser_core.targets import DIMENSIONS, kind_of
from spaces.several import choice_of


@dataclass(frozen=True)
class Tile:
    """One key number."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """One line of the table of settings."""

    name: str
    value: str
    searched: str
    recipe: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """All text of the page but that of the figures; nothing in it is escaped yet."""

    run: str
    title: str
    lead: str
    finished: bool
    status: str
    banners: tuple[Banner, ...]
    tiles: tuple[Tile, ...]
    settings_title: str
    settings: tuple[Setting, ...]
    command: str
    skipped_title: str
    skipped: tuple[SkippedFile, ...]
    footer: str


def page_head(run: RunView) -> Head:
    """The head of `run` at any moment of it."""
    plan, corpus = run.plan, run.plan.corpus
    skipped = tuple(replace(file, path=clip_text(file.path)) for file in corpus.skipped)
    split = "speakers kept apart" if plan.speaker_independent else "speakers mixed"
    began = start_sentences(None if plan.start is None else asdict(plan.start), corpus.classes)
    what = ("dimension", "dimensions") if kind_of(plan.target) == DIMENSIONS else ("class", "classes")
    classes = f"{count(len(corpus.classes), *what)} ({', '.join(corpus.classes)})"
    return Head(
        run=run.name,
        title=f"{model_text(plan, run.result)} on {corpus.name}",
        lead=f"{count(corpus.clips, 'clip')} of {count(corpus.speakers, 'speaker')}, "
        f"{classes}, split {plan.split}: {split}. {began}".rstrip(),
        finished=run.result is not None,
        status="finished" if run.result else "not finished",
        banners=_banners(run),
        tiles=(*_score_tiles(run), *_cost_tiles(run)),
        settings_title=_settings_title(run),
        settings=_settings(run),
        command=plan.command,
        skipped_title=f"{count(len(skipped), 'file')} of the corpus left out",
        skipped=skipped,
        footer=" · ".join(f"{name} {number}" for name, number in plan.versions.items()),
    )


def _banners(run: RunView) -> tuple[Banner, ...]:
    banners = [Banner(caveat.title, caveat.long) for caveat in caveats(facts_of_run(run))]
    if notes := run.records.precision_notes():
        runs = count(len(notes), "training run")
        banners.append(Banner("Not in bf16.", f"{runs} of the search and the finals {notes[0]}."))
    return tuple(banners)


def _score_tiles(run: RunView) -> tuple[Tile, ...]:
    best = best_trial(run.records)
    if run.result is None:
        note = f"trial {best.number}, epoch {best.best_epoch}" if best else "no trial has finished an epoch yet"
        score = run.plan.headline
        label = f"Best validation {score.label} so far"
        return (Tile(label, score.text(best.value) if best else NONE, note),)
    test, search = run.result["test"], run.result["search"]["best"]
    score, second, third = scores_of_result(run.result)[:3]
    headline = run_score(test, score.name)
    note = f"{count(test['clips'], 'clip')}, {headline.of}"
    if headline.single:
        note += f"; a single one {headline.single}"
    if (words := interval(headline.interval, speakers=test["speakers"], score=score)) != NONE:
        note = f"{'' if words.startswith('no ') else '95 % interval '}{words}; {note}"
    beside = f"{third.label} {third.text(run_score(test, third.name).value)}"
    found = validation_score(search, score)
    return (
        Tile(f"Test {score.label}", score.text(headline.value), note),
        Tile(f"Test {second.both_names}", second.text(run_score(test, second.name).value), beside),
        *_tuning_tile(run.result),
        Tile("Best search score", score.text(found), f"validation {score.label} of trial {search['trial']}"),
    )


def _tuning_tile(result: Mapping[str, Any]) -> tuple[Tile, ...]:
    """What tuning was worth; none for a run that does not say."""
    tuning = result.get("tuning")
    if tuning is None:
        return ()
    score = headline_of(result)
    difference, (low, high) = tuning[f"{score.name}_difference"], tuning["interval"] or (None, None)
    value = f"{score.signed(difference)}{' points' if score.percent else ''}" if is_number(difference) else NONE
    label = "Recipe stands; best challenger" if tuning["recipe_stands"] else "Tuning was worth"
    if not is_number(low):
        return (Tile(label, value, tuning_sentence(result)),)
    edges = f"{score.signed(low)} to {score.signed(high)}"
    return (Tile(label, value, f"over the recipe; 95 % interval {edges}"),)  # the whole sentence is in the figure


def _cost_tiles(run: RunView) -> tuple[Tile, ...]:
    counted = tally(run.records, trial_epochs(run.plan))
    states = {
        "running": counted.running,
        "complete": counted.complete,
        "stopped early": counted.pruned,
        "failed": counted.failed,
    }
    started = f"{sum(states.values()):,}"
    gave_up = bool(run.result and run.result["search"].get("nothing_to_gain"))
    notes = [f"{number:,} {word}" for word, number in states.items() if number]
    saved = f"{counted.epochs_saved:,} saved by ASHA ({100 * counted.saved_share:.0f} %)"
    seconds = run.result["search"]["wall_seconds"] if run.result else run.records.seconds
    overhead = run.result["search"].get("overhead_seconds_per_trial") if run.result else None
    return (
        Tile(
            "Trials",
            started if run.result and not gave_up else f"{started} of {run.plan.limits.trials:,}",
            " · ".join([*notes, *(["nothing to gain: none leads the recipe beyond luck"] if gave_up else [])]),
        ),
        Tile("Epochs trained", f"{counted.epochs_trained:,}", saved),
        Tile(
            "Search time" if run.result else "Time so far",
            duration(seconds),
            f"{overhead:.2f} s a trial beyond training" if overhead is not None else "",
        ),
    )


def _chosen(run: RunView) -> tuple[int, Mapping[str, Any]] | None:
    """Number and parameters of the winner, or of the best trial while there is none."""
    if run.result is not None:
        return run.result["winner"]["trial"], run.result["winner"]["params"]
    best = best_trial(run.records)
    return (best.number, best.params) if best else None


def _settings_title(run: RunView) -> str:
    chosen = _chosen(run)
    role = "Winner" if run.result else "Best so far"
    return f"{role}: trial {chosen[0]}" if chosen else ""


def _settings(run: RunView) -> tuple[Setting, ...]:
    chosen = _chosen(run)
    if chosen is None:
        return ()
    own = (params for params in run.plan.first if choice_of(params) == choice_of(chosen[1]))
    first, shared = next(own, {}), fixed_of(run.plan, chosen[1])
    rows = [
        Setting(name, value_text(value), _range(run.plan.space.get(name)), value_text(first.get(name, NONE)))
        for name, value in chosen[1].items()
        if name not in shared
    ]
    fixed = (Setting(name, value_text(value), "fixed", NONE) for name, value in shared.items())
    return (*rows, *fixed)


def _range(knob: Mapping[str, Any] | None) -> str:
    if knob is None:
        return NONE
    if knob["type"] == "choice":
        return ", ".join(value_text(value) for value in knob["values"])
    scale = ", log scale" if knob.get("log") else ""
    return f"{value_text(knob['low'])} to {value_text(knob['high'])}{scale}"
