"""The command line: tune one architecture, or all of them, and end with a test number that can be trusted."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

# As a script, this file's folder is first on the path, where `records`, `plan` and the like would hide libraries.
if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    del sys.path[0]

import typer
from optuna.exceptions import StorageInternalError
from platformdirs import user_cache_path
from rich.console import Console

from search.comparison.leaderboard import ComparisonError
from search.driver.batch import Batch, batch_of, default_batch_folder, run_batch
from search.driver.batch_summary import sum_up
from search.driver.one_run import execute
from search.driver.options import DEFAULTS, default_folder, prepare
from search.finals.finalists import FinalsError
from search.interruption import Interrupted
from search.run_folder.paths import BATCH_FILE, RECORDS_FILE
from search.run_folder.plan import Limits, SearchPlan
from search.run_folder.records_reader import read_records
from search.run_folder.run_view import RunFolderError
from search.run_folder.rungs import AUTO, GRACE_SPEARMAN, GRACE_TRIALS
from search.study.samplers import SAMPLERS
from search.study.search import SearchStopped
from search.study.storage import absolute_storage
from search.terminal.printing import plain, print_plan, print_result, print_warm_start, print_warnings
from ser_core.architectures import architectures, default_config
from ser_core.artifact import ArtifactError
from ser_core.clips import CorpusError
from ser_core.config import ConfigError, setting_help
from ser_core.features.audio import AudioError
from ser_core.features.store import FeatureStoreError
from ser_core.modules.pretrained import PretrainedError
from ser_core.splits import SplitError
from spaces.knobs import KnobError

USER_ERRORS = (
    ConfigError, CorpusError, SplitError, KnobError, PretrainedError, FinalsError, SearchStopped, FeatureStoreError,
    AudioError, ArtifactError, ConnectionError, ComparisonError, RunFolderError,
)  # fmt: skip
"""Errors whose message says what to do: shown without a traceback."""

DATA, SEARCH, FINALS, MACHINES, RUN = "Data", "Search", "Finals", "Machines", "Run folder"


def _option(*names: str, panel: str, help: str, default: object = None) -> Any:
    """An option that is None when it is not given, with what that means in its help text."""
    shown = "" if default is None else f" \\[default: {default}]"
    return typer.Option(*names, help=help + shown, rich_help_panel=panel)


def gpu_share(text: str) -> float | str:
    """The value of --gpus-per-trial."""
    try:
        return text if text == AUTO else float(text)
    except ValueError as error:
        raise typer.BadParameter(f"a number of GPUs, such as 0.25, or {AUTO}; got {text!r}") from error


_Text = str | None
_Count = int | None
_Number = float | None
_Folder = Path | None
_limits = Limits()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def tune(
    model: Annotated[
        _Text,
        _option(panel=SEARCH, help=f"{', '.join(architectures())}; several with commas between, or all."),
    ] = None,
    data: Annotated[
        _Text,
        _option(
            panel=DATA,
            help="A RAVDESS folder or zip; a CSV, TSV or JSONL manifest (path, speaker, emotion[, split]); ravdess "
            "(downloads it); demo (a synthetic corpus).".replace("[", "\\["),
        ),
    ] = None,
    classes: Annotated[
        _Text,
        _option(panel=DATA, help="4, 6 or 8, or words, merged with +: happy,sad,tense=angry+fearful.", default="all"),
    ] = None,
    split: Annotated[
        _Text,
        _option(
            panel=DATA,
            help="speaker, emobox:1..6, luna:1..5, manifest (its own parts) or random (not speaker-independent); "
            "emobox or luna: every fold.",
            default="manifest where the data brings parts, else speaker",
        ),
    ] = None,
    search_per_fold: Annotated[
        bool | None,
        typer.Option(
            "--search-per-fold/--search-once",
            help="Of every fold: each has a search of its own, or the first one's winner is trained on all. "
            "\\[default: per fold]",
            rich_help_panel=DATA,
        ),
    ] = None,
    skip_bad: Annotated[
        bool, _option("--skip-bad", panel=DATA, help="Leave unusable files out and list them in result.json.")
    ] = False,
    trials: Annotated[_Count, _option(panel=SEARCH, help="Trials to start.", default=_limits.trials)] = None,
    hours: Annotated[
        _Number,
        _option(panel=SEARCH, help="Wall time for everything; the finals' share is kept aside.", default="no limit"),
    ] = None,
    epochs_total: Annotated[
        _Count, _option(panel=SEARCH, help="Epochs over all trials of the search.", default="no limit")
    ] = None,
    max_epochs: Annotated[
        _Count,
        _option(panel=SEARCH, help="Full budget of a trial, to which the schedule is pinned.", default="the model's"),
    ] = None,
    grace_epochs: Annotated[
        _Text,
        _option(
            panel=SEARCH,
            help=f"First rung of ASHA; auto finds it from the first {GRACE_TRIALS} complete trials: the epoch from "
            f"which on the ranking agrees with the final one (Spearman {GRACE_SPEARMAN}).",
            default="a fifth of --max-epochs",
        ),
    ] = None,
    reduction: Annotated[
        _Number, _option(panel=SEARCH, help="One in this many goes on at a rung.", default=DEFAULTS["reduction"])
    ] = None,
    sampler: Annotated[
        _Text,
        _option(
            panel=SEARCH,
            help=f"{', '.join(SAMPLERS)}. One proposal in three of tpe is a random one.",
            default=DEFAULTS["sampler"],
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        _option("--set", panel=SEARCH, help="Fix a setting: optim.batch_size=32. Repeatable.", default="nothing"),
    ] = None,
    space: Annotated[
        list[str] | None,
        _option(
            panel=SEARCH,
            help="Narrow, replace or add a knob: optim.learning_rate=1e-5:1e-3:log, optim.batch_size=16,32. "
            "Repeatable.",
            default="the model's space",
        ),
    ] = None,
    warm_start: Annotated[
        _Text,
        _option(
            panel=SEARCH,
            help="Try the best configurations of an earlier study early: a run folder, or a storage as for --storage, "
            "followed by #NAME where it holds several studies.",
            default="none",
        ),
    ] = None,
    configuration: Annotated[
        _Folder,
        _option(
            panel=SEARCH,
            help="Search nothing: train the winner's configuration of the run in this folder, on other data or another "
            "split.",
        ),
    ] = None,
    pretrained: Annotated[
        _Text, _option(panel=SEARCH, help="A hub name, a local file or folder, or none.", default="the model's")
    ] = None,
    folds: Annotated[
        _Count,
        _option(
            panel=SEARCH,
            help="Score trials by the mean over so many folds of the speakers that do not test, trained side by side.",
            default="1, the split's own validation part",
        ),
    ] = None,
    finalists: Annotated[
        _Count, _option(panel=FINALS, help="Best trials, repeated over seeds.", default=DEFAULTS["finalists"])
    ] = None,
    seeds: Annotated[
        _Count, _option(panel=FINALS, help="Seeds of every finalist and of the refit.", default=DEFAULTS["seeds"])
    ] = None,
    allow_second_test_read: Annotated[
        bool,
        _option(
            "--allow-second-test-read",
            panel=FINALS,
            help="Read the test set again after a further search; every output counts the readings.",
        ),
    ] = False,
    address: Annotated[
        _Text, _option(panel=MACHINES, help="A Ray cluster, such as auto.", default="this machine")
    ] = None,
    concurrency: Annotated[_Count, _option(panel=MACHINES, help="Trials at once.", default="as many as fit")] = None,
    cpus_per_trial: Annotated[
        _Number, _option(panel=MACHINES, help="CPU cores, and threads, of a trial.", default=_limits.cpus_per_trial)
    ] = None,
    gpus_per_trial: Annotated[
        Any,
        typer.Option(
            parser=gpu_share,
            metavar="NUMBER|auto",
            help="GPUs, or a share of one; auto measures the memory that trials need on every kind of GPU, and shares "
            "it. \\[default: 1 where there are any, else 0]",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    run_dir: Annotated[
        _Folder, _option(panel=RUN, help="Folder of a new run.", default="runs/MODEL-CORPUS-SPLIT-TIME")
    ] = None,
    resume: Annotated[
        _Folder, _option(panel=RUN, help="Go on with the run in this folder; --trials and other limits may be raised.")
    ] = None,
    storage: Annotated[
        _Text,
        _option(
            panel=RUN,
            help="Where the Optuna study goes: a journal file (PATH.journal), sqlite:///FILE or "
            "postgresql://USER@HOST/DATABASE.",
            default="a journal file in the run folder",
        ),
    ] = None,
    cache_dir: Annotated[
        _Folder, _option(panel=RUN, help="Corpora and features.", default="the user's cache folder")
    ] = None,
    seed: Annotated[
        _Count, _option(panel=RUN, help="Of the split, the sampler and all training.", default=DEFAULTS["seed"])
    ] = None,
    dry_run: Annotated[
        bool, _option("--dry-run", panel=RUN, help="Print plan and space; train nothing, write no run folder.")
    ] = False,
) -> None:
    """Tune MODEL on the speech in DATA: search, finalists over seeds, refit, one reading of the test set."""
    given = {name: value for name, value in locals().items() if value is not None}
    console = Console()
    try:
        batch = _batch(given)
        complete = _run_one(given, console) if batch is None else _run_batch(*batch, given, console)
    except Interrupted:
        raise typer.Exit(130) from None
    except USER_ERRORS as error:
        _say(console, f"[bold red]error:[/] {plain(error)}")
        raise typer.Exit(2) from None
    except StorageInternalError as error:
        cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
        message = f"the database of the study failed: {cause}. What was done is kept; mend that, then --resume"
        _say(console, f"[bold red]error:[/] {plain(message)}")
        raise typer.Exit(2) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        message = f"the disk refused: {error.strerror}{where}. What was done is kept; mend that, then --resume"
        _say(console, f"[bold red]error:[/] {plain(message)}")
        raise typer.Exit(2) from None
    if not complete:
        raise typer.Exit(1)


def main() -> None:
    """Entry point of `ser-search`."""
    app()


def _batch(given: dict[str, Any]) -> tuple[Batch, Path] | None:
    """The batch that is asked for or resumed, and its folder; None for a single run."""
    resumed = given.get("resume")
    if resumed is not None and (resumed / BATCH_FILE).exists():
        return Batch.load(resumed), resumed
    batch = batch_of(given) if resumed is None else None
    return None if batch is None else (batch, given.get("run_dir") or default_batch_folder(batch))


def _run_batch(batch: Batch, folder: Path, given: dict[str, Any], console: Console) -> bool:
    """Every run of a batch, and what they say together; False when one of them could not be run."""

    def run_one(options: dict[str, Any]) -> None:
        _say(console, f"[bold]{plain(options.get('run_dir') or options['resume'])}[/]")
        try:
            _run_one(options, console)
        except USER_ERRORS as error:
            _say(console, f"[bold red]could not be run:[/] {plain(error)}")
            raise

    if "resume" not in given and (folder / BATCH_FILE).exists():
        raise ConfigError(
            f"{folder} holds runs already; --resume {folder} goes on with them, or name another --run-dir"
        )
    try:
        problems = run_batch(batch, folder, given, run_one, USER_ERRORS)
    except Interrupted:
        again = shlex.join(["python", "search/run.py", "--resume", str(folder)])
        _say(console, f"All runs of this folder:\n  {plain(again)}")
        raise
    for name, problem in problems.items():
        _say(console, f"[bold red]not run: {name}[/] ({plain(str(problem).splitlines()[0])})")
    if not given["dry_run"]:
        sum_up(batch, folder, problems, console)
    return not problems


def _run_one(given: dict[str, Any], console: Console) -> bool:
    """One architecture, from the options to the printed result; True, or an error."""
    cache_dir = given.get("cache_dir") or user_cache_path("ser-search")
    old = SearchPlan.load(given["resume"]) if "resume" in given else None
    plan, manifest, split = prepare(given, old, cache_dir, console)
    folder = given["resume"] if old is not None else given.get("run_dir") or default_folder(plan)
    if given["dry_run"]:
        meaning = setting_help(default_config(plan.model, plan.fixed))
        print_plan(plan, manifest, split, folder, console, meaning=meaning)
        return True
    if old is None and read_records(folder / RECORDS_FILE).trials:
        raise ConfigError(f"{folder} holds a run already; --resume {folder} goes on with it, or name another --run-dir")
    if old is not None and (differences := old.differences(plan)):
        lines = [f"--resume {folder}: the run was planned otherwise, and results would mix:", *differences]
        raise ConfigError("\n".join(lines))
    print_warm_start(plan, console)
    print_warnings(plan, console)
    try:
        result = execute(
            plan,
            folder,
            manifest,
            split,
            storage=absolute_storage(given["storage"], "--storage") if "storage" in given else plan.storage,
            cache_dir=cache_dir,
            console=console,
            allow_second=given["allow_second_test_read"],
        )
    except Interrupted:
        again = shlex.join(["python", "search/run.py", "--resume", str(folder)])
        _say(console, f"Stopped; everything is kept. Go on with:\n  {plain(again)}")
        raise
    print_result(result, folder, console)
    return True


def _say(console: Console, text: str) -> None:
    """Print as it is: no wrapping, so that paths and commands can be copied, and no colouring of numbers."""
    console.print(text, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
