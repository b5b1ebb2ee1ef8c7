"""Lanes that come and go while workers work, stop and fail."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from search.jobs import Chunk
from search.workers._lanes import Lane, Lanes
from search.workers.placement import Demand, Request


class Nothing:
    """A source without jobs."""

    def next_job(self) -> None:
        return None

    def report(self, chunk: Chunk) -> bool:
        raise AssertionError("there was no job")

    def lost(self, job: str, reason: str) -> None:
        raise AssertionError("there was no job")

    def tick(self) -> bool:
        return False


def lane_in(folder: Path, *, stopping: bool = False) -> Lane:
    demand = Demand(requests=[Request(cpus=1.0, gpus=0.0)], concurrency=1)
    return Lane(source=Nothing(), demand=demand, run_folder=folder, context=None, log=print, stopping=stopping)


def test_a_lane_that_came_while_workers_stopped_waits_for_the_next_ones(tmp_path: Path) -> None:
    lanes, stopped, late = Lanes(), lane_in(tmp_path, stopping=True), lane_in(tmp_path)
    lanes.add(stopped)
    lanes.add(late)
    lanes.end_stopped()
    assert stopped.done.is_set()
    assert not late.done.is_set()
    assert lanes.present() == [late]
    assert lanes.wait()


def test_a_lane_that_comes_after_ray_has_failed_is_done_at_once_with_its_error(tmp_path: Path) -> None:
    lanes, present, late = Lanes(), lane_in(tmp_path), lane_in(tmp_path)
    lanes.add(present)
    failure = ConnectionError("Ray is gone")
    lanes.end(failure)
    lanes.add(late)
    for lane in (present, late):
        assert lane.done.is_set()
        with pytest.raises(ConnectionError, match="Ray is gone"):
            lane.raise_error()


def test_an_error_of_its_own_stays_when_everything_ends_with_another(tmp_path: Path) -> None:
    lanes, lane = Lanes(), lane_in(tmp_path)
    lanes.add(lane)
    lane.error = ValueError("its own")
    lanes.end(ConnectionError("Ray is gone"))
    with pytest.raises(ValueError, match="its own"):
        lane.raise_error()


def test_removing_twice_is_removing_once(tmp_path: Path) -> None:
    lanes, lane = Lanes(), lane_in(tmp_path)
    lanes.add(lane)
    lanes.remove(lane)
    lanes.remove(lane)
    assert lane.done.is_set()
    assert lanes.present() == []


def test_none_may_come_after_the_last_one(tmp_path: Path) -> None:
    lanes = Lanes()
    lanes.close()
    with pytest.raises(RuntimeError, match="after the last one"):
        lanes.add(lane_in(tmp_path))


def test_waiting_ends_when_none_will_come(tmp_path: Path) -> None:
    lanes, found = Lanes(), []
    waiting = threading.Thread(target=lambda: found.append(lanes.wait()))
    waiting.start()
    lanes.close()
    waiting.join(timeout=60)
    assert found == [False]
    assert lanes.over
