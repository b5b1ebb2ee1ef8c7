"""What the runs of a batch say together: `protocol.json`, `ensemble.json`, and the tables on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from search.batch import Batch
from search.ensemble import Ensemble, ensemble_of, pooled_ensemble
from search.printing import percent, plain
from search.protocol import PROTOCOL_FILE, protocol_numbers, write_json
from search.result import RESULT_FILE, ensemble_numbers
from ser_core.config import ConfigError

ENSEMBLE_FILE = "ensemble.json"
SCORES = {"uar": "UAR", "war": "accuracy (WAR)", "macro_f1": "macro F1"}


def sum_up(batch: Batch, folder: Path, console: Console) -> None:
    """Write and print what the runs say together, as far as they have ended."""
    ended = {
        model: [
            folder / m.folder for m in batch.members if m.model == model and (folder / m.folder / RESULT_FILE).exists()
        ]
        for model in batch.models
    }
    wanted = len(batch.members) // len(batch.models)
    whole = {model: folders for model, folders in ended.items() if len(folders) == wanted}
    if batch.protocol and whole:
        numbers = {model: protocol_numbers(folders) for model, folders in whole.items()}
        search = "per fold" if batch.search_per_fold else "once, on the first fold"
        write_json(
            folder / PROTOCOL_FILE, {"protocol": batch.protocol, "folds": wanted, "search": search, "models": numbers}
        )
        _print_protocol(batch, numbers, console)
        console.print(f"  {(folder / PROTOCOL_FILE).resolve()}", soft_wrap=True, highlight=False)
    if len(whole) > 1:
        _ensemble(folder, whole, console)


def _print_protocol(batch: Batch, numbers: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    table = Table("Model", "Score", "Mean over folds", "± over folds", "All test clips", "95 % interval over speakers")
    for model, own in numbers.items():
        for name, label in SCORES.items():
            over, test = own["over_folds"][name], own["pooled"][name]
            low, high = test["interval"]
            table.add_row(
                model if name == "uar" else "", label, percent(over["mean"]), percent(over["std"]),
                percent(test["mean"]), f"{percent(low)} to {percent(high)}",
            )  # fmt: skip
    first = next(iter(numbers.values()))
    console.print(
        f"[bold]{batch.protocol}[/], {len(first['folds'])} folds, {first['pooled']['clips']} test clips of "
        f"{first['pooled']['speakers']} speakers"
    )
    console.print(table)
    for model in (model for model, own in numbers.items() if own["tuned_on_test_speakers"]):
        console.print(
            f"[yellow]The configuration of {model} was searched on one fold, whose training speakers test in others: "
            f"its score is not one on speakers that nothing was tuned on. --search-per-fold has no such flaw.[/]"
        )


def _ensemble(folder: Path, runs: Mapping[str, list[Path]], console: Console) -> None:
    """The winners of several architectures as one predictor, beside them."""
    folds = [dict(zip(runs, own, strict=True)) for own in zip(*runs.values(), strict=True)]
    try:
        ensemble = ensemble_of(folds[0]) if len(folds) == 1 else pooled_ensemble(folds)
    except ConfigError as error:  # runs of an older version, or with other limits of their own
        console.print(f"[yellow]No ensemble: {plain(error)}[/]", highlight=False)
        return
    numbers = ensemble_document(ensemble)
    write_json(folder / ENSEMBLE_FILE, numbers)
    shares = ", ".join(f"{name} {share:.2f}" for name, share in ensemble.weights.items())
    uar = numbers["test"]["uar"]
    low, high = uar["interval"]
    console.print(
        f"Ensemble ({shares}; weights from validation clips): UAR [bold]{percent(uar['value'])}[/], 95 % interval "
        f"{percent(low)} to {percent(high)}, accuracy {percent(numbers['test']['war']['value'])}",
        highlight=False,
    )
    console.print(f"  {(folder / ENSEMBLE_FILE).resolve()}", soft_wrap=True, highlight=False)


def ensemble_document(ensemble: Ensemble) -> dict[str, Any]:
    """`ensemble.json`: weights and scores, shares in [0, 1]."""
    return {"weights": ensemble.weights, "test": ensemble_numbers(ensemble.test, ensemble.test.probabilities[0])}
