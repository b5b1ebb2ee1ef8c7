"""From options to a finished run, or to the runs of a batch: what the command line and `search.tune` do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.exceptions import StorageInternalError
from rich.console import Console

from search.driver.batch import Batch, Member, asks_for_batch, batch_of, default_batch_folder, due_runs
from search.driver.batch_summary import sum_up, write_so_far
from search.driver.feature_facts import encoder_facts_text, feature_facts
from search.driver.locations import default_folder
from search.driver.options import Options
from search.driver.planning import prepare
from search.driver.preflight import check_cluster, check_folder, check_machine, check_resumption, check_weights
from search.driver.protocol_folds import cache_folder, checked_folds
from search.driver.tracking import asked_destinations
from search.driver.user_errors import USER_ERRORS, explained
from search.interruption import Interrupted
from search.run_folder.architectures import spaces_of
from search.run_folder.paths import BATCH_FILE, RESULT_FILE
from search.run_folder.plan import SearchPlan
from search.study.storage import absolute_storage, check_place
from search.terminal.printing import print_as_is, print_plan, print_result, print_warm_start, print_warnings
from search.wording import resume_command
from ser_core.architectures import default_config
from ser_core.config import ConfigError, setting_help
from ser_core.errors import UserError
from ser_core.splits import PARTS
from spaces.several import ARCHITECTURE, merged

if TYPE_CHECKING:
    from search.driver.one_run import Means


class StudyLost(UserError, RuntimeError):
    """The database of the study failed while a run was under way."""


def asked_batch(options: Options, console: Console) -> tuple[Batch, Path] | None:
    """The batch that is asked for or resumed, and its folder; None for a single run.

    Raises:
        ConfigError, CorpusError, SplitError: see `batch_of`, `checked_folds` and `Batch.load`.
    """
    if options.drivers is not None and not is_batch(options):
        raise ConfigError(
            f"--drivers is for several runs, of models or folds; a single one has one. Got {options.drivers}"
        )
    if options.resume is not None:
        return (Batch.load(options.resume), options.resume) if is_batch(options) else None
    batch = batch_of(options, lambda protocol, own: checked_folds(protocol, own, console))
    return None if batch is None else (batch, options.run_dir or default_batch_folder(batch))


def is_batch(options: Options) -> bool:
    """True where several runs are asked for, or those of a folder are resumed."""
    return asks_for_batch(options) if options.resume is None else (options.resume / BATCH_FILE).exists()


def tune_batch(batch: Batch, folder: Path, options: Options, console: Console) -> bool:
    """Every run of a batch, and what they say together; False when one of them could not be run.

    Raises:
        Interrupted: after Ctrl-C or a request in the folder.
        ConfigError: options that the batch cannot take.
    """
    if options.resume is None and (folder / BATCH_FILE).exists():
        raise ConfigError(
            f"{folder} holds runs already; --resume {folder} goes on with them, or name another --run-dir"
        )
    if options.resume is None:
        check_folder(folder)
    for asked in (batch.options, options):
        asked_destinations(asked, None)
    due = due_runs(batch, folder, options)
    if options.dry_run:
        problems = _shown(due, console)
    else:
        # Ray takes seconds to load, which a dry run can do without
        from search.driver.divided import run_divided
        from search.driver.side_by_side import run_together

        def after_each() -> None:
            write_so_far(batch, folder)

        try:
            if options.drivers in (None, 1):
                problems = run_together(due, folder, tune_one, console, after_each=after_each)
            else:
                problems = run_divided(due, folder, options.drivers, console, after_each=after_each)
        except Interrupted:
            print_as_is(f"Stopped; everything is kept. Go on with:\n  {resume_command(folder)}", console)
            raise
    for name, problem in problems.items():
        print_as_is(f"not run: {name} ({explained(problem).splitlines()[0]})", console, style="bold red")
    if not options.dry_run:
        sum_up(batch, folder, problems, console)
    return not problems


def _shown(due: Sequence[tuple[Member, Options]], console: Console) -> dict[str, Exception]:
    """A dry run of each, one after another -> what is wrong with some of them, by folder."""
    problems: dict[str, Exception] = {}
    for member, options in due:
        print_as_is(options.run_dir or options.resume, console, style="bold")
        try:
            tune_one(options, console)
        except USER_ERRORS as error:
            problems[member.folder] = error
    return problems


def tune_one(options: Options, console: Console, means: Means | None = None) -> Path:
    """One architecture on one split, from the options to the printed result; its run folder.

    A dry run prints what would be done and makes no folder.

    Args:
        means: what the run shares with others, None for a run by itself.

    Raises:
        Interrupted: after Ctrl-C or a request in the folder.
        UserError, KnobError, OSError: what keeps the run from starting or ends it.
    """
    cache_dir = cache_folder(options)
    cache_bytes, sample_bytes = (
        None if limit is None else int(limit * 2**30) for limit in (options.cache_gib, options.sample_store_gib)
    )
    old = SearchPlan.load(options.resume) if options.resume is not None else None
    if old is None and options.run_dir is not None:
        check_folder(options.run_dir)
    destinations = asked_destinations(options, options.resume)
    plan, manifest, split = prepare(options, old, cache_dir, console)
    folder = options.resume or options.run_dir or default_folder(plan)
    check_machine(plan)
    check_place(plan.storage, "--storage", to_be_made=folder)
    if old is not None:
        check_resumption(options, folder, plan)
    if not (folder / RESULT_FILE).exists():
        check_weights(plan)
    if options.dry_run:
        meaning = knob_meanings(plan)
        encoder = {"encoder": text} if (text := encoder_facts_text(plan)) else {}
        facts = {**encoder, "features": feature_facts(plan, manifest, cache_dir, cache_bytes, sample_bytes)}
        clips = {part: len(getattr(split, part)) for part in PARTS}
        print_plan(plan, manifest, clips, folder, console, meaning=meaning, facts=facts)
        return folder
    check_cluster(plan.limits.address)
    print_warm_start(plan, console)
    print_warnings(plan, console)
    from search.driver.one_run import execute, means_of_one  # Ray takes seconds to load; a dry run need not wait

    try:
        with _kept(folder), nullcontext(means) if means is not None else means_of_one(folder, console) as own:
            result = execute(
                plan,
                folder,
                manifest,
                split,
                storage=plan.storage if options.storage is None else absolute_storage(options.storage, "--storage"),
                cache_dir=cache_dir,
                cache_bytes=cache_bytes,
                sample_bytes=sample_bytes,
                console=console,
                allow_second=options.allow_second_test_read,
                means=own,
                destinations=destinations,
            )
    except Interrupted:
        if means is None:
            print_as_is(f"Stopped; everything is kept. Go on with:\n  {resume_command(folder)}", console)
        raise
    print_result(result, folder, console)
    return folder


def knob_meanings(plan: SearchPlan) -> dict[str, str]:
    """What each knob of a plan means, by its name there."""
    own = {name: setting_help(default_config(name, settings)) for name, (_, settings) in spaces_of(plan).items()}
    if ARCHITECTURE not in plan.space:
        return dict(own[plan.model])
    return {ARCHITECTURE: "The model; each has knobs of its own.", **merged(own)}


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Errors of disk, network and database in the midst of a run, with the advice to resume it."""
    advice = f"What was done is kept; mend that, then --resume {folder}"
    try:
        yield
    except StorageInternalError as error:
        cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
        raise StudyLost(f"the database of the study failed: {cause}. {advice}") from error
    except OSError as error:
        error.add_note(advice)
        raise
