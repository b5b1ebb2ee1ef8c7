"""One run from its plan to its result: features, training (search, finals, refit), conclusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import optuna
from filelock import FileLock, Timeout
from rich.console import Console

from search.driver.features import Features
from search.driver.heartbeat import Heartbeat
from search.driver.planning import inner_of
from search.driver.time_budget import search_clock
from search.driver.tracking import tracked
from search.finals.conclusion import conclude
from search.finals.finalists import FinalChoice
from search.finals.phases import Finals
from search.interruption import Interruption, end_process, interrupts
from search.jobs import Chain, Link, inner_fold
from search.run_folder.architectures import first_rungs, schedules, scorings
from search.run_folder.paths import LOCK_FILE, PLAN_FILE, RECORDS_FILE
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords
from search.run_folder.records_writer import RecordWriter
from search.run_folder.rungs import AUTO
from search.study.allocation import Luck
from search.study.asha import Asha
from search.study.search import Search
from search.study.storage import open_study, sole_writer, without_password
from search.terminal.printing import print_as_is
from search.terminal.progress import Progress, Stage
from search.tracking.destination import Destination
from search.wording import resume_command
from search.workers.pool import OwnWorkers, Training, Workers, clear_leftovers
from ser_core.clips import Manifest
from ser_core.config import ConfigError
from ser_core.features.store import corpus_features
from ser_core.several_corpora import balanced
from ser_core.splits import Fold, Split
from spaces.knobs import Value
from spaces.several import ARCHITECTURE, for_choice


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a run works with, and may share with others.

    Attributes:
        workers: where it finds them.
        by_signal: True as soon as the process was asked to stop.
        show: makes what the user sees of the run.
        runs: how many share the driver's time.
        away: leaves that time to the others while its block waits.
    """

    workers: Workers
    by_signal: Callable[[], bool]
    show: Callable[[SearchPlan, RunRecords], Progress]
    runs: int = 1
    away: Callable[[], AbstractContextManager[None]] = nullcontext


@contextmanager
def means_of_one(folder: Path, console: Console) -> Iterator[Means]:
    """For a run by itself."""
    with interrupts(stopped_at_once(folder)) as by_signal:
        yield Means(
            workers=OwnWorkers(partial(abandon, folder)),
            by_signal=by_signal,
            show=lambda plan, records: Progress(plan, records, console),
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all stages of a run share.

    Attributes:
        plan, folder: what is to be done, and where.
        writer: of the records, which grow meanwhile.
        progress: what the user sees.
        means: what it may share with other runs.
    """

    plan: SearchPlan
    folder: Path
    writer: RecordWriter
    progress: Progress
    means: Means


@dataclass(frozen=True, kw_only=True)
class Data:
    """The corpus of a run, divided, with its features.

    Attributes:
        inner: folds of the development speakers, on which a configuration can be scored.
    """

    manifest: Manifest
    split: Split
    inner: Sequence[Fold]
    features: Features


def execute(
    plan: SearchPlan,
    folder: Path,
    manifest: Manifest,
    split: Split,
    *,
    storage: str,
    cache_dir: Path,
    cache_bytes: int | None,
    sample_bytes: int | None,
    console: Console,
    allow_second: bool,
    means: Means,
    destinations: Sequence[Destination] = (),
) -> dict[str, Any]:
    """Run or resume the plan in `folder` and return the result, which is also written there.

    Args:
        storage: the plan's, with the password that a plan does not keep.
        cache_bytes: most that the features in the cache may take; None for the default.
        sample_bytes: most that a store of samples may take; None for that of the cache.
        destinations: trackers to which the run is sent as it goes.

    Raises:
        Interrupted: after Ctrl-C or a request in the folder, when the workers have stopped.
        ConfigError: another process works in the folder, or the study cannot be used.
        FinalsError, SearchStopped: the run cannot end with a number.
        OSError: a disk that is full or cannot be written.
    """

    def log(message: str) -> None:
        print_as_is(message, console)

    with _locked(folder), sole_writer(storage):
        interrupted = Interruption(folder, means.by_signal)
        writer = RecordWriter(folder / RECORDS_FILE, scoring=scorings(plan))
        try:
            study, flush = open_study(
                folder,
                storage,
                is_new=not writer.records.trials,
                may_rebuild=_started_with(folder, storage),
                log=log,
            )
            plan.save(folder)
            writer.session()
            with (
                tracked(folder, destinations, log, means.away),
                means.show(plan, writer.records) as progress,
                Heartbeat(folder, writer.records, progress, interrupted, runs=means.runs) as heartbeat,
            ):
                run = Run(plan=plan, folder=folder, writer=writer, progress=progress, means=means)
                corpus = corpus_features(manifest, cache_dir, cache_bytes, sample_bytes)
                features = Features(plan, corpus, progress, heartbeat)
                inner = inner_of(manifest, split, plan.folds, plan.seed)
                data = Data(manifest=manifest, split=split, inner=inner, features=features)
                choice = train(run, data, study, flush, heartbeat)
                progress.phase(Stage.TEST)
                result = conclude(
                    folder, plan, writer.records, choice, manifest, split, features.of,
                    allow_second=allow_second, log=progress.message,
                )  # fmt: skip
                heartbeat.draw_page()
                return result
        finally:
            writer.close()


def train(run: Run, data: Data, study: optuna.Study, flush: Callable[[], None], heartbeat: Heartbeat) -> FinalChoice:
    """Search, finals and refit; no job knows of any but development clips.

    Raises:
        Interrupted: somebody asked to stop; the workers have saved what they had.
    """
    speaker_of = {clip.clip_id: clip.speaker for clip in data.manifest.clips}
    finals = Finals(run.plan, run.writer, run.folder, speaker_of, heartbeat.tick, run.progress.message)
    with run.means.workers.pool(
        training_of(run, data), run.plan.limits, log=run.progress.message, interrupted=heartbeat.interrupted
    ) as pool:

        def links() -> Iterator[Link]:
            run.progress.phase(Stage.SEARCH)
            search = search_of(run, data, study, flush, pool.trials_at_once, heartbeat)
            yield Link(search, finals.repeats, lambda: finals.begin_repeats(all_begun=search.all_begun))
            run.progress.phase(Stage.FINALS)
            finals.choose_finalists()
            yield Link(finals.repeats, finals.refits, finals.begin_refits)
            run.progress.phase(Stage.REFIT)
            finals.choose_winner()
            yield Link(finals.refits)

        pool.run(Chain(links()))
    heartbeat.check()
    clear_leftovers(run.folder)
    return finals.choice


def abandon(folder: Path, dead: str) -> NoReturn:
    """End the process: without Ray's head the workers have ended or will, and calls of Ray may never come back."""
    end_process(
        2, f"\nerror: Ray stopped working: {dead}. What was done is kept. Go on with:\n  {resume_command(folder)}\n"
    )


def stopped_at_once(folder: Path) -> str:
    return f"\nStopped at once; what was recorded is kept. Go on with:\n  {resume_command(folder)}\n"


def training_of(run: Run, data: Data) -> Training:
    """What the workers of a run train."""
    plan = run.plan
    at_once = search_folds(plan, data)
    folds = {
        "search": at_once[: 1 if plan.folds == AUTO else None],
        "refit": [data.split.refit_fold()],
        **{inner_fold(number): [fold] for number, fold in enumerate(data.inner, 1)},
    }
    if plan.balance:
        folds = {
            name: [balanced(fold, data.manifest, plan.balance, plan.seed) for fold in own]
            for name, own in folds.items()
        }
    return Training(
        run_folder=run.folder,
        model=plan.model,
        space=plan.knobs,
        fixed=plan.settings,
        features=data.features.corpus,
        stores=data.features.early,
        development=data.split.development,
        folds=folds,
        about={
            "corpus": asdict(plan.corpus),
            "split": plan.split,
            "speaker_independent": plan.speaker_independent,
            "trained_speakers": sorted({*plan.speakers.fit, *plan.speakers.validation}),
            "tuned_on": _tuned_on(plan),
            "start": None if plan.start is None else asdict(plan.start),
            "command": plan.command,
        },
    )


def _tuned_on(plan: SearchPlan) -> dict[str, Any] | None:
    """Speakers on whom an earlier study was tuned of which the run takes configurations; None without one."""
    warm = plan.warm_start
    return None if warm is None else {"corpus": warm.corpus, "speakers": list(warm.speakers)}


def search_folds(plan: SearchPlan, data: Data) -> Sequence[Fold]:
    """The folds over which trials are scored, side by side or one after another."""
    return [data.split.search_fold()] if plan.folds == 1 else data.inner


def search_of(
    run: Run,
    data: Data,
    study: optuna.Study,
    flush: Callable[[], None],
    concurrency: Callable[[], int],
    heartbeat: Heartbeat,
) -> Search:
    """The search that the plan describes, as far as the records do not hold it already."""
    plan = run.plan
    return Search(
        study=study,
        space=plan.knobs,
        writer=run.writer,
        asha=_asha(plan),
        sampler=plan.sampler,
        seed=plan.seed,
        fixed=plan.settings,
        trials=plan.limits.trials,
        warm=plan.warm_start.configurations if plan.warm_start is not None else (),
        luck=_luck(plan, search_folds(plan, data)) if ARCHITECTURE in plan.space else None,
        all_trials=plan.limits.all_trials,
        epochs_total=plan.limits.epochs_total,
        time_left=search_clock(plan, run.writer.records, concurrency, shared=run.means.runs > 1),
        flush=flush,
        interrupted=heartbeat.tick,
        log=run.progress.message,
    )


def _asha(plan: SearchPlan) -> Asha | Mapping[str, Asha]:
    """Empty rungs, of each architecture where trials choose one."""
    epochs, first = schedules(plan), first_rungs(plan)

    def own(choice: Mapping[str, Value]) -> Asha:
        return Asha(for_choice(epochs, choice), for_choice(first, choice), plan.reduction, plan.folds_in_turn)

    return own({}) if isinstance(epochs, int) else {name: own({ARCHITECTURE: name}) for name in epochs}


def _luck(plan: SearchPlan, folds: Sequence[Fold]) -> Luck:
    """That of a score over these folds."""
    clips = sum(len(fold.evaluate) for fold in folds) / len(folds)
    return Luck(clips=clips, folds=plan.folds if isinstance(plan.folds, int) else 1, score=plan.headline)


def _started_with(folder: Path, storage: str) -> bool:
    """True when the run in the folder has used this storage: a study that is not there was lost."""
    return (folder / PLAN_FILE).exists() and SearchPlan.load(folder).storage == without_password(storage)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"another process works in {folder}; a run has one driver: wait, or name another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
