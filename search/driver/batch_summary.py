"""What the runs of a batch say together: `protocol.json`, `ensemble.json`, and the tables on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from search.comparison.ensemble import ensemble_across
from search.comparison.folds import matrix_of, protocol_numbers, read_result
from search.comparison.leaderboard import Leaderboard, make_leaderboard
from search.driver.batch import Batch
from search.pages.folds_page import write_protocol_page
from search.pages.write import write_comparison
from search.run_folder.paths import COMPARISON_FILE, LEADERBOARD_FILE, PROTOCOL_FILE, PROTOCOL_PAGE_FILE, RESULT_FILE
from search.run_folder.run_score import run_score, scores_of_result
from search.terminal.leaderboard_table import print_ensemble, print_leaderboard, print_matrix
from search.terminal.printing import plain, print_as_is
from search.wording import TRANSDUCTIVE, TUNED_ON_TEST_SPEAKERS, count, interval, spread
from ser_core.config import ConfigError
from ser_core.ensemble import ENSEMBLE_FILE, ensemble_document
from ser_core.metrics.paired import Comparison
from ser_core.whole_file import write_json


def sum_up(batch: Batch, folder: Path, problems: Mapping[str, Exception], console: Console) -> None:
    """Write and print what the runs say together, as far as they have ended.

    Args:
        problems: folder of a run -> why it could not be run.
    """
    runs = {
        model: [folder / member.folder for member in batch.members if member.model == model] for model in batch.models
    }
    whole = {model: own for model, own in runs.items() if all((each / RESULT_FILE).exists() for each in own)}
    document = _protocol(batch, folder, whole, console) if batch.protocol and whole else None
    comparisons: Sequence[Comparison] = ()
    if len(batch.models) > 1 and whole:
        failed = {member.model: problems[member.folder] for member in batch.members if member.folder in problems}
        reasons = {model: str(why).splitlines()[0] for model, why in failed.items()}
        comparisons = conclude(folder, whole, reasons, console).comparisons
    if document is not None:
        page = write_protocol_page(folder / PROTOCOL_PAGE_FILE, whole, document, comparisons)
        print_as_is(f"  {page.resolve()}", console)
    if len(whole) > 1:
        _ensemble(folder, whole, console)


def write_so_far(batch: Batch, folder: Path) -> None:
    """The page of a protocol's folds that have ended, of every model that has two or more; else that of the models.

    When all have ended nothing is written: `sum_up` does.
    """
    ended = {
        model: [
            folder / member.folder
            for member in batch.members
            if member.model == model and (folder / member.folder / RESULT_FILE).exists()
        ]
        for model in batch.models
    }
    runs = [run for own in ended.values() for run in own]
    if len(runs) == len(batch.members):
        return
    if batch.protocol and (several := {model: own for model, own in ended.items() if len(own) > 1}):
        write_protocol_page(folder / PROTOCOL_PAGE_FILE, several, _document(batch, several))
    if not batch.protocol and len(runs) > 1:
        write_comparison(folder / COMPARISON_FILE, runs)


def _document(batch: Batch, runs: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """What `protocol.json` holds of runs, the folds of each architecture."""
    numbers = {model: protocol_numbers(own) for model, own in runs.items()}
    folds = max(len(own["folds"]) for own in numbers.values())
    search = "per fold" if batch.search_per_fold else "once, on the first fold"
    left = {} if folds == len(batch.folds) else {"of": len(batch.folds)}
    return {"protocol": batch.protocol, "folds": folds, **left, "search": search, "models": numbers}


def _protocol(batch: Batch, folder: Path, runs: Mapping[str, list[Path]], console: Console) -> dict[str, Any]:
    """Every fold and all of them together: `protocol.json`, which is returned, and a row per architecture."""
    document = _document(batch, runs)
    write_json(folder / PROTOCOL_FILE, document)
    numbers = document["models"]
    first = next(iter(numbers.values()))
    pooled, scores = first["pooled"], scores_of_result(first)
    score, *others = scores
    test = f"{count(first['clips'], 'test clip')} of {count(pooled['speakers'], 'speaker')}"
    table = Table(
        "Model", *(f"{each.label} over folds" for each in scores), f"{score.label} of all clips",
        "95 % interval over speakers", "Single model",
        title=f"{batch.protocol}: {count(document['folds'], 'fold')}, {test}, searched {document['search']}",
        title_justify="left",
    )  # fmt: skip
    for model, own in numbers.items():
        over, single = own["score_over_folds"], own["over_folds"][score.name]
        whole = run_score(own["pooled"], score.name)
        table.add_row(
            f"{model} ({TRANSDUCTIVE.tag})" if own["transductive"] else model,
            spread(over[score.name]["mean"], over[score.name]["std"], score=score),
            *(other.text(over[other.name]["mean"]) for other in others),
            score.text(whole.value),
            interval(whole.interval, speakers=own["pooled"]["speakers"], score=score),
            spread(single["mean"], single["std"], score=score),
        )
    console.print(table)
    for model, own in numbers.items():
        print_matrix(model, matrix_of(own["folds"]), score, console)
    for model in (model for model, own in numbers.items() if own["tuned_on_test_speakers"]):
        why = "comes from an earlier search on them"
        if not batch.search_per_fold:
            why = "was searched on one fold, whose training speakers test in others; --search-per-fold avoids that"
        console.print(f"[yellow]{TUNED_ON_TEST_SPEAKERS} The configuration of {model} {why}.[/]")
    print_as_is(f"  {(folder / PROTOCOL_FILE).resolve()}", console)
    return document


def _ensemble(folder: Path, runs: Mapping[str, list[Path]], console: Console) -> None:
    """The winners of several architectures as one predictor, beside them."""
    try:
        ensemble = ensemble_across(runs)
    except ConfigError as error:  # runs of an older version, or with other limits of their own
        console.print(f"[yellow]No ensemble: {plain(error)}[/]", highlight=False)
        return
    numbers = ensemble.numbers()
    # Every fold has models of its own: together they have a score, and are no model.
    one_fold = all(len(own) == 1 for own in runs.values())
    members = model_weights(folder, {name: own[0] for name, own in runs.items()}, ensemble.weights) if one_fold else {}
    write_json(folder / ENSEMBLE_FILE, {**ensemble_document(members), **numbers})
    print_ensemble(numbers, console)
    print_as_is(f"  {(folder / ENSEMBLE_FILE).resolve()}", console)


def model_weights(folder: Path, runs: Mapping[str, Path], weights: Mapping[str, float]) -> dict[str, float]:
    """Model folder below `folder` -> weight: the seeds of a run share that of their architecture."""
    found: dict[str, float] = {}
    for model, run in runs.items():
        names = read_result(run)["winner"]["models"]
        found |= {(run / name).relative_to(folder).as_posix(): weights[model] / len(names) for name in names}
    return found


def conclude(
    parent: Path, runs: Mapping[str, Sequence[Path]], not_run: Mapping[str, str], console: Console
) -> Leaderboard:
    """Print the leaderboard of runs below `parent`, and keep it there as `leaderboard.json` and a page.

    There is no page of one run, and whole protocols have one of their own (`search.pages.folds_page`).

    Args:
        runs: as for `make_leaderboard`, at least one.
        not_run: what could not be run -> why.

    Raises:
        ComparisonError, RunFolderError, ConfigError, OSError: see `make_leaderboard` and `write_comparison`.
    """
    board = make_leaderboard(runs, not_run)
    print_leaderboard(board, console)
    paths = [write_json(parent / LEADERBOARD_FILE, board.numbers())]
    folders = [folder for own in runs.values() for folder in own]
    if len(folders) == len(runs) > 1:
        paths.append(write_comparison(parent / COMPARISON_FILE, folders))
    for path in paths:
        print_as_is(f"  {path.resolve()}", console)
    return board
