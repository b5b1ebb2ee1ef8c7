"""The model's thread: who is heard together, who is not kept waiting, and who is not harmed by others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from search.service.batching import Batcher, ModelFailure
from search.service.metrics import Metrics
from ser_core.batches import BatchModel

RATE_HZ = 100
POISON = 0.75


@dataclass
class Ear:
    """A part that says how loud a crop is, one batch at a time as it is let, and fails at `POISON`."""

    clip_seconds: float = 1.0
    batches: list[int] = field(default_factory=list)
    may: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(10**6))
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        self.begun.release()
        self.may.acquire()
        self.batches.append(len(clips))
        loud = np.array([clip.max() for clip in clips], dtype=np.float32)
        if POISON in loud:
            raise RuntimeError("cannot hear this")
        return np.stack([loud, 1 - loud], axis=1)


def clip(loudness: float, seconds: float = 0.5) -> np.ndarray:
    """(samples,) that an ear finds so loud; it is not silent."""
    samples = np.zeros(round(seconds * RATE_HZ), dtype=np.float32)
    samples[::2] = loudness
    return samples


@contextmanager
def batcher(ear: Ear, **settings: Any) -> Iterator[Batcher]:
    model = BatchModel(classes=("loud", "quiet"), sample_rate_hz=RATE_HZ, parts=(ear,))
    made = Batcher(model, Metrics(), **{"most_crops": 8, "window_ms": 0.0, **settings})
    try:
        yield made
    finally:
        ear.may.release(10**6)
        made.close()


def held() -> Ear:
    """An ear that waits for leave."""
    return Ear(may=threading.Semaphore(0))


async def soon(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.002)


def waiting(one: Batcher) -> int:
    return one._count()


async def asked(one: Batcher, clips: Sequence[np.ndarray], after: Ear) -> list[asyncio.Task[np.ndarray]]:
    """Tasks that wait for clips, one after another, while the ear is busy with the first."""
    tasks = []
    for number, samples in enumerate(clips):
        before = waiting(one)
        tasks.append(asyncio.create_task(one.probabilities(samples)))
        await soon((lambda: after.begun.acquire(blocking=False)) if number == 0 else lambda b=before: waiting(one) > b)
    return tasks


def run(do: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await do

    return asyncio.run(main())


def test_whoever_comes_while_the_model_works_is_in_its_next_batch() -> None:
    ear = held()

    async def five(one: Batcher) -> list[np.ndarray]:
        tasks = await asked(one, [clip(0.1 * n) for n in range(1, 6)], ear)
        ear.may.release(2)
        return await asyncio.gather(*tasks)

    with batcher(ear) as one:
        found = run(five(one))
    assert ear.batches == [1, 4]
    assert [round(float(row[0]), 6) for row in found] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_batch_has_a_maximum_and_1_is_without_batching() -> None:
    for most, batches in ((2, [1, 2, 2]), (1, [1, 1, 1, 1, 1])):
        ear = held()

        async def five(one: Batcher, ear: Ear = ear) -> None:
            tasks = await asked(one, [clip(0.5)] * 5, ear)
            ear.may.release(9)
            await asyncio.gather(*tasks)

        with batcher(ear, most_crops=most) as one:
            run(five(one))
        assert ear.batches == batches


def test_the_first_waits_a_moment_for_company() -> None:
    ear = Ear()

    async def two(one: Batcher) -> None:
        await asyncio.gather(one.probabilities(clip(0.1)), one.probabilities(clip(0.2)))

    with batcher(ear, window_ms=60_000.0, most_crops=2) as one:
        run(two(one))  # a full batch waits no longer
    assert ear.batches == [2]


def test_a_long_file_keeps_no_short_one_waiting() -> None:
    ear, ended = held(), []

    async def both(one: Batcher) -> None:
        tasks = await asked(one, [clip(0.5), clip(0.1, seconds=20.0), clip(0.2), clip(0.3)], ear)
        for name, task in zip(("first", "long", "short", "other"), tasks, strict=True):
            task.add_done_callback(lambda _, name=name: ended.append(name))
        ear.may.release(100)
        await asyncio.gather(*tasks)

    with batcher(ear, most_crops=3) as one:
        run(both(one))
    assert ended == ["first", "short", "other", "long"]
    assert sum(ear.batches) == 3 + 39  # 20 s are 39 windows that overlap by half


def test_a_clip_at_which_the_model_fails_harms_no_other() -> None:
    ear = held()

    async def three(one: Batcher) -> list[Any]:
        tasks = await asked(one, [clip(0.1), clip(0.2), clip(POISON, seconds=3.0), clip(0.3)], ear)
        ear.may.release(100)
        return await asyncio.gather(*tasks, return_exceptions=True)

    with batcher(ear) as one:
        first, second, poisoned, third = run(three(one))
        assert [round(float(row[0]), 6) for row in (first, second, third)] == [0.1, 0.2, 0.3]
        assert isinstance(poisoned, ModelFailure)
        assert "cannot hear" not in str(poisoned)
        assert run(one.probabilities(clip(0.4)))[0] == np.float32(0.4)  # it goes on


def test_who_is_gone_is_not_heard() -> None:
    ear = held()

    async def two(one: Batcher) -> np.ndarray:
        tasks = await asked(one, [clip(0.1), clip(0.2, seconds=20.0), clip(0.3)], ear)
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        ear.may.release(100)
        return (await asyncio.gather(tasks[0], tasks[2]))[1]

    with batcher(ear) as one:
        assert run(two(one))[0] == np.float32(0.3)
    assert ear.batches == [1, 1]


def test_closing_answers_all_who_wait_and_takes_no_more() -> None:
    ear = held()

    async def three(one: Batcher) -> list[np.ndarray]:
        tasks = await asked(one, [clip(0.1), clip(0.2), clip(0.3)], ear)
        closing = asyncio.create_task(asyncio.to_thread(one.close))
        await soon(lambda: one._closed)
        with pytest.raises(ModelFailure, match="the service is ending"):
            await one.probabilities(clip(0.4))
        ear.may.release(100)
        await closing
        assert not one.alive
        return await asyncio.gather(*tasks)

    with batcher(ear) as one:
        assert [round(float(row[0]), 6) for row in run(three(one))] == [0.1, 0.2, 0.3]
