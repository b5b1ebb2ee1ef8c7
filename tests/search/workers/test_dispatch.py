"""Jobs and places between a source and its workers, without either."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from search.jobs import Chain, Chunk, Job, Link, Outcome, Wait
from search.workers._dispatch import Assignment, Dispatcher, Places
from search.workers._lanes import Lane, Lanes
from search.workers.placement import Demand, Request

NO_ROOM = "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB."


@dataclass
class Source:
    """Hands out the jobs that it was given; raises an error of its own at the next report."""

    jobs: list[Job]
    raises: Exception | None = None
    stops: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    lost_jobs: dict[str, str] = field(default_factory=dict)

    def next_job(self) -> Job | Wait | None:
        return self.jobs.pop(0) if self.jobs else None

    def report(self, chunk: Chunk) -> bool:
        if self.raises is not None:
            raise self.raises
        self.chunks.append(chunk)
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        self.lost_jobs[job] = reason

    def tick(self) -> bool:
        return self.stops


def job(name: str) -> Job:
    return Job(name=name, params={}, folds="search", last_epoch=5)


def chunk(name: str, outcome: Outcome = Outcome.GOING, reason: str = "", **more: OSError) -> Chunk:
    return Chunk(job=name, reports=[], outcome=outcome, worker="h:1", reason=reason, **more)


def lane_of(
    source: Source, folder: Path, *, gpus: float = 0.0, cpus: float = 0.0, stage: int = 0, log: list[str] | None = None
) -> Lane:
    return Lane(
        source=source,
        demand=Demand(requests=[Request(cpus=cpus, gpus=gpus)], concurrency=9),
        run_folder=folder,
        context=None,
        log=(log if log is not None else []).append,
        stage=lambda: stage,
    )


def dispatcher_of(*lanes: Lane, closed: bool = True) -> Dispatcher:
    """Two nodes of one CPU and one GPU each; every job that a source has may be at work."""
    together = Lanes()
    for lane in lanes:
        together.add(lane)
    if closed:
        together.close()
    return Dispatcher(together, Places(lambda: [{"CPU": 1.0, "GPU": 1.0}] * 2, print))


def names(*assignments: Assignment | Wait | None) -> list[str]:
    return [each.job.name if isinstance(each, Assignment) else type(each).__name__ for each in assignments]


def checkpoint(folder: Path, name: str) -> Path:
    path = folder / "checkpoints" / name / "last.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_there_is_no_last_word_while_a_job_is_at_work(tmp_path: Path) -> None:
    """It may have to be done anew, and after the last word nobody asks again."""
    dispatcher = dispatcher_of(lane_of(Source([job("one")]), tmp_path))
    assert names(dispatcher.assign("a"), dispatcher.assign("b")) == ["one", "Wait"]
    dispatcher.end("a")
    assert names(dispatcher.assign("b")) == ["NoneType"]


def test_a_source_that_fails_when_it_is_asked_has_the_last_word_at_once(tmp_path: Path) -> None:
    """As finals do of which no trial has a score. Nobody asks whether to stop while Tune waits for a job."""

    class Broken(Source):
        def next_job(self) -> Job | Wait | None:
            raise ValueError("no trial has a score")

    lane = lane_of(Broken([]), tmp_path)
    assert names(dispatcher_of(lane).assign("a")) == ["NoneType"]
    assert lane.done.is_set()
    with pytest.raises(ValueError, match="no trial has a score"):
        lane.raise_error()


def test_the_end_of_a_job_takes_its_checkpoint_and_no_other(tmp_path: Path) -> None:
    source = Source([job("one"), job("two")])
    lane = lane_of(source, tmp_path)
    dispatcher = dispatcher_of(lane)
    first, second = checkpoint(tmp_path, "one"), checkpoint(tmp_path, "two")
    dispatcher.assign("a")
    dispatcher.assign("b")
    dispatcher.end("a", lost="worker lost: 4 workers died with this trial.")
    assert source.lost_jobs == {"one": "worker lost: 4 workers died with this trial."}
    assert not first.parent.exists()
    assert second.exists()


def test_what_the_source_raises_ends_everything_and_keeps_the_checkpoints(tmp_path: Path) -> None:
    """The source may not have come to record the end of the job."""
    source = Source([job("one"), job("two")], raises=OSError(28, "No space left on device", "records.jsonl"))
    lane = lane_of(source, tmp_path)
    dispatcher = dispatcher_of(lane)
    kept = checkpoint(tmp_path, "one")
    dispatcher.assign("a")
    assert not dispatcher.stops()
    assert not dispatcher.report("a", chunk("one", Outcome.DONE))
    assert dispatcher.stops()
    assert names(dispatcher.assign("b")) == ["Wait"]
    dispatcher.end("a")
    assert not dispatcher.stops()
    assert dispatcher.assign("b") is None
    assert kept.exists()
    with pytest.raises(OSError, match="No space left on device"):
        lane.raise_error()


def test_what_a_workers_disk_refuses_ends_everything_after_the_report(tmp_path: Path) -> None:
    source = Source([job("one")])
    lane = lane_of(source, tmp_path)
    dispatcher = dispatcher_of(lane)
    dispatcher.assign("a")
    dispatcher.report("a", chunk("one", disk_error=OSError(30, "Read-only file system")))
    assert len(source.chunks) == 1
    with pytest.raises(OSError, match="Read-only file system"):
        lane.raise_error()


def test_a_job_that_needs_more_of_a_gpu_is_done_anew_before_any_other(tmp_path: Path) -> None:
    source, log = Source([job("big"), job("other")]), list[str]()
    dispatcher = dispatcher_of(lane_of(source, tmp_path, gpus=0.4, log=log))
    kept = checkpoint(tmp_path, "big")
    dispatcher.assign("a")
    assert not dispatcher.report("a", chunk("big", Outcome.FAILED, NO_ROOM))
    dispatcher.end("a")
    assert source.chunks == []  # the source does not hear of the attempt
    assert kept.exists()
    assert log == ["big ran out of memory with 0.4 of a GPU; it is done anew with 0.8"]
    again = dispatcher.assign("b")
    assert isinstance(again, Assignment)
    assert (again.job.name, again.request.gpus, again.enlarged) == ("big", 0.8, True)
    waiting = True
    dispatcher.watch_waiting("b", lambda: waiting)
    assert names(dispatcher.assign("c")) == ["Wait"]  # a smaller one would take its place
    waiting = False
    assert names(dispatcher.assign("c")) == ["other"]
    for share in (0.8, 1.0):
        goes_on = dispatcher.report("b", chunk("big", Outcome.FAILED, NO_ROOM))
        assert not goes_on
        assert len(source.chunks) == (share == 1.0)  # with a whole GPU it has failed
        dispatcher.end("b")
        if share < 1.0:
            dispatcher.assign("b")


# -- several runs ------------------------------------------------------------------------------------------------------


def test_the_run_nearest_to_its_end_comes_first_and_the_next_one_fills_its_tail(tmp_path: Path) -> None:
    early = lane_of(Source([job("trial"), job("another trial")]), tmp_path / "early")
    late = lane_of(Source([job("refit")]), tmp_path / "late", stage=2)
    dispatcher = dispatcher_of(early, late)
    given = [dispatcher.assign(key) for key in "abcd"]
    assert names(*given) == ["refit", "trial", "another trial", "Wait"]
    assert isinstance(given[0], Assignment)
    assert given[0].lane is late
    dispatcher.end("a")
    assert names(dispatcher.assign("d")) == ["Wait"]
    assert late.done.is_set()
    assert not early.done.is_set()


def test_a_run_whose_source_raises_ends_alone(tmp_path: Path) -> None:
    bad = lane_of(Source([job("one"), job("two")], raises=OSError(28, "No space left on device")), tmp_path / "bad")
    good = lane_of(Source([job("three")]), tmp_path / "good")
    dispatcher = dispatcher_of(bad, good)
    dispatcher.assign("a")
    kept = checkpoint(tmp_path / "bad", "one")
    assert not dispatcher.report("a", chunk("one"))
    assert not dispatcher.stops()
    assert names(dispatcher.assign("b")) == ["three"]
    dispatcher.end("a")
    assert not dispatcher.stops()
    assert bad.done.is_set()
    with pytest.raises(OSError, match="No space left"):
        bad.raise_error()
    assert kept.exists()
    assert dispatcher.report("b", chunk("three"))


def test_a_run_that_is_stopped_keeps_what_was_at_work_and_the_others_go_on(tmp_path: Path) -> None:
    stopped, other = Source([job("one"), job("two")]), Source([job("three")])
    lane, second = lane_of(stopped, tmp_path / "stopped"), lane_of(other, tmp_path / "other")
    dispatcher = dispatcher_of(lane, second)
    dispatcher.assign("a")
    kept = checkpoint(tmp_path / "stopped", "one")
    stopped.stops = True
    assert not dispatcher.stops()
    assert names(dispatcher.assign("b"), dispatcher.assign("c")) == ["three", "Wait"]
    assert not dispatcher.report("a", chunk("one"))  # saved by its worker, which takes on another job
    dispatcher.end("a")
    assert kept.exists()
    assert not dispatcher.stops()
    assert lane.done.is_set()
    assert lane.error is None
    other.stops = True
    assert dispatcher.stops()  # nobody is left who would go on


def test_a_stopped_run_has_not_ended_while_its_worker_saves(tmp_path: Path) -> None:
    """Else somebody could resume it from a checkpoint that is older than its records."""
    stopped, other = Source([job("one")]), Source([job("two")])
    lane = lane_of(stopped, tmp_path / "stopped")
    dispatcher = dispatcher_of(lane, lane_of(other, tmp_path / "other"))
    dispatcher.assign("a")
    dispatcher.assign("b")
    stopped.stops = True
    dispatcher.stops()
    assert not dispatcher.report("a", chunk("one"))
    assert dispatcher.report("b", chunk("two"))
    assert [dispatcher.goes_on_later(key) for key in "ab"] == [True, False]
    saving = True
    dispatcher.watch_saving("a", lambda: saving)
    dispatcher.end("a")
    dispatcher.stops()
    assert not lane.done.is_set()
    saving = False
    dispatcher.stops()
    assert lane.done.is_set()


def test_runs_that_ask_for_different_places_share_the_nodes(tmp_path: Path) -> None:
    """Two CPUs and two GPUs: a job with a GPU and a core leaves one core."""
    cpu = Lane(
        source=Source([job("c1"), job("c2")]),
        demand=Demand(requests=[Request(cpus=1, gpus=0)]),
        run_folder=tmp_path / "cpu",
        context=None,
        log=print,
    )
    gpu = Lane(
        source=Source([job("g1")]),
        demand=Demand(requests=[Request(cpus=1, gpus=1)]),
        run_folder=tmp_path / "gpu",
        context=None,
        log=print,
        stage=lambda: 1,
    )
    dispatcher = dispatcher_of(cpu, gpu)
    assert names(*(dispatcher.assign(key) for key in "abc")) == ["g1", "c1", "Wait"]
    dispatcher.end("a")
    assert names(dispatcher.assign("c")) == ["c2"]


def test_while_runs_may_come_there_is_no_last_word(tmp_path: Path) -> None:
    dispatcher = dispatcher_of(closed=False)
    assert names(dispatcher.assign("a")) == ["Wait"]
    assert not dispatcher.stops()


def test_a_job_that_would_come_later_is_begun_where_no_run_has_one_that_is_due(tmp_path: Path) -> None:
    """Not before the job of another run, however near to its end the first one is."""
    nearest, other = Source([job("a")]), Source([job("b")])
    chain = Chain(iter([Link(nearest, Source([job("later")]))]))
    one, two = lane_of(nearest, tmp_path / "one", stage=1), lane_of(other, tmp_path / "two")
    one.source = chain
    dispatcher = dispatcher_of(one, two)
    assert names(*(dispatcher.assign(key) for key in "abcd")) == ["a", "b", "later", "Wait"]
    assert dispatcher.assigned("c").lane is one


def test_a_lane_whose_next_jobs_cannot_be_told_ends_alone(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    first, later = Source([job("a")]), Source([])
    one = lane_of(first, tmp_path / "one")
    one.source = Chain(iter([Link(first, later, fail)]))
    dispatcher = dispatcher_of(one, closed=False)
    assert names(dispatcher.assign("a"), dispatcher.assign("b")) == ["a", "Wait"]
    with pytest.raises(OSError, match="No space left"):
        one.raise_error()
