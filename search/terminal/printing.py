"""What the command line prints: the plan of a dry run, warnings, and the result as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.run_folder.architectures import architectures_of, first_rungs, model_text, result_model, schedules
from search.run_folder.caveat_facts import facts_of_plan, facts_of_result
from search.run_folder.paths import DASHBOARD_FILE, FINAL_FOLDER, RESULT_FILE
from search.run_folder.plan import SearchPlan
from search.run_folder.run_score import headline_of, run_score, scores_of_result
from search.run_folder.rungs import GRACE_TRIALS
from search.run_folder.start_text import start_sentences
from search.run_folder.verdict import group_sentences, tuning_sentence
from search.wording import caveats, count, duration, interval, printable, tags
from ser_core.clips import Manifest
from ser_core.targets import DIMENSIONS, kind_of


def plain(text: object) -> str:
    """Text for a rich console: nothing in it is markup, or a control sequence of the terminal."""
    return escape(printable(text))


def print_as_is(text: object, console: Console, *, style: str = "") -> None:
    """Print without wrapping, so that paths and commands can be copied, and without markup or coloured numbers."""
    console.print(printable(text), style=style, soft_wrap=True, markup=False, highlight=False)


def print_warnings(plan: SearchPlan, console: Console) -> None:
    """What nobody may overlook: a synthetic corpus, shared speakers, files left out."""
    for caveat in caveats(facts_of_plan(plan)):
        console.print(f"[yellow]{plain(caveat.title)} {plain(caveat.long)}[/]")
    if len(plan.speakers.test) == 1 and ":" not in plan.split:  # a fold of a protocol has others beside it
        console.print(
            f"[yellow]One test speaker gives no interval; --split kfold:{min(5, plan.corpus.speakers)} tests each of "
            f"the {plan.corpus.speakers} speakers once.[/]"
        )
    skipped = plan.corpus.skipped
    if skipped:
        console.print(f"[yellow]{count(len(skipped), 'unusable file')} left out; result.json names each.[/]")


def print_warm_start(plan: SearchPlan, console: Console) -> None:
    """What is taken from earlier runs: a model to begin with; a study, and what of it did not fit."""
    warm = plan.warm_start
    if plan.start is not None:
        text = start_sentences(asdict(plan.start), plan.corpus.classes)
        print_as_is(text, console)
    if warm is None:
        return
    if warm.alone:
        print_as_is(f"Nothing is searched: the configuration is the winner of {warm.source}", console)
        return
    found, room = len(warm.configurations), max(0, plan.limits.trials - len(plan.first))
    when = "after the model's recipes" if plan.first else "first"
    less = f"; --trials {plan.limits.trials} leaves room for {room} of them" if room < found else ""
    for line in (f"Warm start from {warm.source}: {found} of its best configurations tried {when}{less}", *warm.notes):
        print_as_is(line, console)


def print_plan(
    plan: SearchPlan,
    manifest: Manifest,
    clips: Mapping[str, int],
    folder: Path,
    console: Console,
    *,
    meaning: Mapping[str, str],
    facts: Mapping[str, str],
) -> None:
    """The plan and the space of a run that is not started.

    Args:
        clips: part -> how many it has. meaning: of every knob by its name. facts: what else there is to say, by name.
    """
    table = Table("Plan", "", title="Dry run: nothing is trained", title_justify="left")
    for name, fact in {**_plan_facts(plan, manifest, clips, folder), **facts}.items():
        table.add_row(name, plain(fact))
    console.print(table)
    console.print(_space_table(plan, meaning))
    print_warm_start(plan, console)
    print_warnings(plan, console)


def _plan_facts(plan: SearchPlan, manifest: Manifest, clips: Mapping[str, int], folder: Path) -> Mapping[str, str]:
    corpus, parts = plan.corpus, ", ".join(f"{number:,} {part}" for part, number in clips.items())
    return {
        "model": model_text(plan, None),
        "corpus": f"{corpus.name}: {count(corpus.clips, 'clip')}, {count(corpus.speakers, 'speaker')}",
        "target": plan.target,
        **({"ratings": corpus.mapped} if corpus.mapped else {}),
        "dimensions" if kind_of(plan.target) == DIMENSIONS else "classes": ", ".join(manifest.target.names),
        "split": f"{plan.split}: {parts} clips",
        "validation speakers": ", ".join(plan.speakers.validation),
        **({"inner folds": "; ".join(", ".join(names) for names in plan.inner_folds)} if plan.inner_folds else {}),
        "test speakers": ", ".join(plan.speakers.test),
        "search": f"{count(plan.limits.trials, 'trial')} of at most {_budget(plan)}, {plan.sampler}, seed {plan.seed}",
        "objective": f"{plan.headline.label}, {plan.headline.meaning}",
        "score": plan.score,
        "ASHA": _asha_facts(plan),
        "finals": _finals_facts(plan),
        "fixed": ", ".join(f"{name}={value}" for name, value in plan.fixed.items()) or "nothing",
        "run folder": str(folder),
    }


def _finals_facts(plan: SearchPlan) -> str:
    of = " of each of their architectures" if len(architectures_of(plan)) > 1 else ""
    recipe = f" and the recipe{of}" if plan.finals_rule > 1 and plan.first else ""
    folds = f", over {count(len(plan.final_folds), 'inner fold')} in turn" if plan.final_folds else ""
    return f"{count(plan.finalists, 'finalist')}{recipe}, {count(plan.seeds, 'seed')}{folds}"


def _budget(plan: SearchPlan) -> str:
    """The epochs of a trial that completes."""
    epochs, folds = schedules(plan), plan.folds_in_turn
    each = count(epochs, "epoch") if isinstance(epochs, int) else _by_architecture(epochs)
    return each if folds == 1 else f"{each} on each of {folds} inner folds, one after another"


def _by_architecture(epochs: Mapping[str, int]) -> str:
    """ "16 epochs (mlp) or 30 (shallow_cnn)"."""
    parts = [f"{own:,} ({name})" for name, own in epochs.items()]
    return f"{', '.join(parts[:-1])} or {parts[-1]} epochs" if len(parts) > 1 else f"{parts[0]} epochs"


def _asha_facts(plan: SearchPlan) -> str:
    rung = plan.first_rung
    if rung is not None and rung >= plan.max_epochs:
        if plan.folds_in_turn > 1:
            return f"rungs at the ends of folds alone, one in {plan.reduction:g} goes on"
        return f"no rung below {count(plan.max_epochs, 'epoch')}: no trial is ended early"
    where = f"found from the first {GRACE_TRIALS} complete trials" if rung is None else f"after {count(rung, 'epoch')}"
    if not isinstance(first := first_rungs(plan), int | None):
        where = f"after {_by_architecture({name: own for name, own in first.items() if own is not None})}"
    return f"first rung {where}, one in {plan.reduction:g} goes on"


def _space_table(plan: SearchPlan, meaning: Mapping[str, str]) -> Table:
    table = Table("Knob", "Range", "First tried", "Meaning")
    warm = plan.warm_start.configurations if plan.warm_start is not None else ()
    for name, knob in plan.space.items():
        first = ", ".join(str(params[name]) for params in (*plan.first, *warm) if name in params)
        table.add_row(name, knob_text(knob), first, meaning[name])
    return table


def knob_text(knob: Mapping[str, Any]) -> str:
    """A knob of a plan as it is printed: its values or bounds, and its condition."""
    if knob["type"] == "choice":
        text = ", ".join(map(str, knob["values"]))
    else:
        text = f"{knob['low']:g} to {knob['high']:g}{', log scale' if knob['log'] else ''}"
    when = knob["when"]
    return text if when is None else f"{text}; if {when['name']} is {' or '.join(map(str, when['values']))}"


def dimension_lines(result: Mapping[str, Any]) -> list[str]:
    """The scores of each dimension of the default model, a line each; none where classes are predicted."""
    lines = []
    for name, own in result["test"].get("per_dimension", {}).items():
        parts = []
        for score in scores_of_result(result):
            numbers = own[score.name]["ensemble"]
            bounds = interval(numbers["interval"], speakers=result["test"]["speakers"], score=score)
            parts.append(f"{score.label} {score.text(numbers['value'])} ({bounds})")
        lines.append(f"{name}: {', '.join(parts)}")
    return lines


def print_result(result: Mapping[str, Any], folder: Path, console: Console) -> None:
    """The test scores with their uncertainty, what the search cost, and where everything lies."""
    test, search, corpus, split = (result[key] for key in ("test", "search", "corpus", "split"))
    console.print(
        f"[bold]{result_model(result)}[/] on {plain(corpus['name'])}, split {plain(split['kind'])}"
        f"{tags(facts_of_result(result))}: {count(test['clips'], 'test clip')} of {count(test['speakers'], 'speaker')}"
        f"{', test set read once' if result['test_reads'] == 1 else ''}"
    )
    scores = {score: run_score(test, score.name) for score in scores_of_result(result)}
    first = next(iter(scores.values()))
    table = Table(
        "Test", first.of.capitalize(), "95 % interval over speakers", *(["Single model"] if first.single else [])
    )
    for score, own in scores.items():
        bounds = interval(own.interval, speakers=test["speakers"], score=score)
        table.add_row(score.both_names, score.text(own.value), bounds, *([own.single] if own.single else []))
    console.print(table)
    for line in dimension_lines(result):
        console.print(plain(line), highlight=False)
    if verdict := tuning_sentence(result):
        console.print(plain(verdict), highlight=False)
    for sentence in group_sentences(test, headline_of(result)):
        console.print(plain(sentence), highlight=False)
    counts = search["trials"]
    console.print(
        f"{count(counts['complete'], 'trial')} complete, {counts['pruned']:,} pruned, {counts['failed']:,} failed; "
        f"{count(search['epochs_trained'], 'epoch')} trained instead of {search['epochs_without_pruning']:,}; "
        f"{duration(search['wall_seconds'])}"
    )
    for name in (DASHBOARD_FILE, RESULT_FILE, FINAL_FOLDER):
        print_as_is(f"  {(folder / name).resolve()}", console)
