"""What a search is worth: test UAR of what it chose, less the recipe's, on speakers that nothing saw.

    python benchmarks/worth.py record --model mlp --data ~/RAVDESS --outer emobox:1,emobox:3 --count 150 --out T.jsonl
    python benchmarks/worth.py variance T.jsonl     what there is to find: configuration, speakers, luck; knob by knob
    python benchmarks/worth.py choose T.jsonl       what each score to choose by would gain after random search
    python benchmarks/worth.py replay T.jsonl       what our search and its peers gain, on a simulated clock
    python benchmarks/worth.py stop T.jsonl         what it costs and saves to end searches with nothing to gain

A truth table (benchmarks/truth/) holds each configuration's learning curves on speaker-disjoint inner folds, on the
split's own validation speakers, and on the test speakers after a refit, for several outer folds. Recording goes on
where it was stopped. All gains are over the recipe, refitted to the end of its schedule on the same outer fold. Without
a command, the tables of the repository are taken apart.
"""

from __future__ import annotations

import argparse
import platform
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from _contestants import CONTESTANTS
from _worth_record import Recording, record
from _worth_replay import PROCEDURES, Gain, choice_gains, procedure_gain, search_gains
from _worth_stop import stopping
from _worth_table import Truth, TruthHeader, TruthTable
from _worth_variance import Estimate, agreement, knob_effects, take_apart
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from search.driver.planning import library_versions
from search.driver.space import resolve_space
from search.simulation.curve_tables import space_to_json
from ser_core.architectures import default_config
from ser_core.clips import Manifest
from ser_core.corpora import load_corpus
from ser_core.features.store import corpus_features
from ser_core.splits import Split, make_split

CONSOLE = Console()
TRUTH_FOLDER = Path(__file__).parent / "truth"
MOST_OPEN = 8
"""Stores that a recording keeps open: opening one compares every byte with its digest."""
DEFAULT_CONTESTANTS = (*PROCEDURES, "ours", "ours-gp", "ray", "optuna-hb", "syne-asha", "syne-bohb", "random")


def record_table(given: argparse.Namespace) -> None:
    """The command `record`."""
    torch.set_num_threads(1)
    space, fixed = resolve_space(
        given.model, sets=given.set, spaces=given.space, max_epochs=given.max_epochs, pretrained=None
    )
    cache = user_cache_path("ser-search")
    manifest = load_corpus(given.data, skip_bad=False, classes=None, cache_dir=cache)
    outer = given.outer.split(",")
    header = TruthHeader(
        model=given.model,
        corpus=manifest.corpus,
        seed=given.seed,
        outer=outer,
        inner=given.inner,
        repeats=given.repeats,
        epochs=default_config(given.model, fixed).optim.epochs,
        classes=len(manifest.classes),
        fixed=fixed,
        space=space_to_json(space),
        about=f"{platform.machine()}, one thread, torch {library_versions()['torch']}",
    )
    recording = Recording(
        header=header,
        space=space,
        manifest=manifest,
        splits={name: _outer_split(manifest, name, given.seed) for name in outer},
        store=lru_cache(MOST_OPEN)(corpus_features(manifest, cache).store),
    )

    def progress(truth: Truth) -> None:
        tested = sum(curve[-1] if curve else 0 for curve in truth.test) / len(truth.test) / 100
        CONSOLE.print(f"{truth.number + 1} of {given.count}, {truth.split}: test UAR {tested:.1f} at the end")

    table = record(recording, given.out, count=given.count, progress=progress)
    CONSOLE.print(f"{given.out}: {len(table.params)} configurations on {len(outer)} outer folds")


def _outer_split(manifest: Manifest, name: str, seed: int) -> Split:
    """An outer fold by its name: a kind of split, drawn with the seed after "@" or with the table's."""
    kind, _, own = name.partition("@")
    return make_split(manifest, kind, int(own) if own else seed)


def show_variance(given: argparse.Namespace) -> None:
    """The command `variance`."""
    table = TruthTable.read(given.table)
    parts = take_apart(table)
    shown = _table(table, "standard deviation, points", "95 % interval")
    for name, estimate in (
        ("configuration", parts.configuration),
        ("configuration x speakers", parts.interaction),
        ("seed of one training", parts.seed),
    ):
        shown.add_row(name, *_cells(estimate, ""))
    for name, estimate in knob_effects(table).items():
        shown.add_row(f"  {name}", *_cells(estimate, ""))
    CONSOLE.print(shown)
    CONSOLE.print(
        f"recipe: {parts.recipe:+.1f} points from the mean configuration, rank {parts.rank} of {len(table.params)}; "
        f"best, luck included: {parts.best:+.1f}"
    )
    scores = Table("score", "correlation with the test score", title="what validation tells, mean over outer folds")
    for name, correlation in agreement(table).items():
        scores.add_row(name, f"{correlation:.2f}")
    CONSOLE.print(scores)


def show_choices(given: argparse.Namespace) -> None:
    """The command `choose`."""
    table = TruthTable.read(given.table)
    _show_gains(table, choice_gains(table, draws=min(given.draws, len(table.params) - 1)))


def show_replay(given: argparse.Namespace) -> None:
    """The command `replay`."""
    warnings.simplefilter("ignore", FutureWarning)  # of libraries that peers use, once per proposal
    table, gains = TruthTable.read(given.table), list[Gain]()
    size = {"seeds": given.seeds, "workers": given.workers, "full_lengths": given.trials}
    for name in given.only.split(","):
        if name in PROCEDURES:
            gains.append(procedure_gain(table, PROCEDURES[name], **size))
        elif CONTESTANTS[name].missing:
            CONSOLE.print(f"{CONTESTANTS[name].title} is left out: {CONTESTANTS[name].install or 'not installed'}")
        else:
            gains += search_gains(table, name, **size)
    _show_gains(table, gains)


def show_stopping(given: argparse.Namespace) -> None:
    """The command `stop`."""
    table = TruthTable.read(given.table)
    shown = _table(table, "its test UAR", "end early", "epochs trained", "gain at the end", "gain, ended early")
    for row in stopping(table, seeds=given.seeds, workers=given.workers, full_lengths=given.trials):
        shown.add_row(
            f"recipe of rank {row.rank:.0%}", f"{row.recipe:.1f}", f"{row.stopped:.0%}", f"{row.epochs:.0%}",
            f"{row.whole:+.1f}", f"{row.early:+.1f}",
        )  # fmt: skip
    CONSOLE.print(shown)


def show_recorded(given: argparse.Namespace) -> None:
    """Without a command: the tables of the repository, taken apart."""
    for path in sorted(TRUTH_FOLDER.glob("*.jsonl")):
        show_variance(argparse.Namespace(table=path))


def _show_gains(table: TruthTable, gains: Sequence[Gain]) -> None:
    shown = _table(table, "chosen by", "refit to", "recipe guards", "gain, points", "95 % interval", "recipe stands")
    for gain in gains:
        guard = "yes" if gain.guarded else "no"
        cells = _cells(gain.points, "+")
        shown.add_row(gain.procedure, gain.score, gain.refit, guard, *cells, f"{gain.kept:.0%}")
    CONSOLE.print(shown)


def _table(table: TruthTable, *columns: str) -> Table:
    header = table.header
    title = f"{header.model} on {header.corpus}: {len(table.params)} configurations, {len(header.outer)} outer folds"
    return Table("", *columns, title=title)


def _cells(estimate: Estimate, sign: str) -> tuple[str, str]:
    return f"{estimate.value:{sign}.1f}", f"{estimate.low:{sign}.1f} to {estimate.high:{sign}.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=show_recorded)
    commands = parser.add_subparsers(metavar="COMMAND")

    recorder = commands.add_parser("record", help="record a truth table, or go on with one")
    recorder.add_argument("--model", required=True, help="architecture")
    recorder.add_argument("--data", required=True, help="corpus, as search/run.py --data takes it")
    recorder.add_argument(
        "--outer",
        required=True,
        help="splits with test speakers of their own, as emobox:1,emobox:3 or speaker@1,speaker@2 for seeds",
    )
    recorder.add_argument("--count", type=int, required=True, help="configurations in the table in the end")
    recorder.add_argument("--inner", type=int, default=5, help="inner folds of each outer fold (default: 5)")
    recorder.add_argument("--repeats", type=int, default=2, help="seeds of the tested refits (default: 2)")
    recorder.add_argument("--max-epochs", type=int, help="full budget (default: the model's)")
    recorder.add_argument("--set", action="append", default=[], help="as search/run.py takes it; repeatable")
    recorder.add_argument("--space", action="append", default=[], help="as search/run.py takes it; repeatable")
    recorder.add_argument("--seed", type=int, default=0, help="of splits, draws and all training (default: 0)")
    recorder.add_argument("--out", type=Path, required=True, help="the table")
    recorder.set_defaults(command=record_table)

    apart = commands.add_parser("variance", help="take a table apart")
    apart.set_defaults(command=show_variance)
    choices = commands.add_parser("choose", help="compare scores to choose by")
    choices.add_argument("--draws", type=int, default=50, help="random configurations of a search (default: 50)")
    choices.set_defaults(command=show_choices)
    replay = commands.add_parser("replay", help="replay searches")
    replay.add_argument(
        "--only",
        default=",".join(DEFAULT_CONTESTANTS),
        help=f"some of {', '.join(PROCEDURES)}, and of search_quality.py's",
    )
    replay.set_defaults(command=show_replay)
    stop = commands.add_parser("stop", help="end searches with nothing to gain")
    stop.set_defaults(command=show_stopping)
    for search in (replay, stop):
        search.add_argument("--seeds", type=int, default=10, help="searches on each outer fold (default: 10)")
        search.add_argument("--workers", type=int, default=8, help="at once (default: 8)")
        search.add_argument(
            "--trials", type=int, default=30, help="budget in trials of full length, finals included (default: 30)"
        )
    for reader in (apart, choices, replay, stop):
        reader.add_argument("table", type=Path, help="a truth table")

    given = parser.parse_args(arguments)
    given.command(given)


if __name__ == "__main__":
    main()
