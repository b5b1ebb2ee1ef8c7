"""The model's own thread, which hears the crops of all who wait in batches."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from search.service.metrics import Metrics
from ser_core.batches import BatchModel, Crop

log = logging.getLogger(__name__)


class ModelFailure(RuntimeError):
    """The model failed at a clip; why is in the service's log."""


class Hearing(Protocol):
    """Whoever says how speech sounds: a batcher in this process, or replicas elsewhere."""

    async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
        """Class probabilities, or ratings, (outputs,) of speech of any length, (samples,) float32 at the model's rate.

        Args:
            one_crop: it is a window of a stream, which is heard once.

        Raises:
            ModelFailure: the model failed at it.
        """


@dataclass(eq=False)
class _Clip:
    """A clip that waits, or part of whose crops are heard."""

    crops: Sequence[Crop]
    came: float
    answer: Future[np.ndarray] = field(default_factory=Future)
    next: int = 0
    rows: list[np.ndarray] = field(default_factory=list)


class Batcher:
    """Takes clips from an event loop, and answers them from a thread of its own.

    Whoever comes while the model works is in its next batch; only when nobody waited does the first crop wait for
    others. Crops are taken from the clips in turn, so that a long file keeps no short one waiting.
    """

    def __init__(self, model: BatchModel, metrics: Metrics, *, most_crops: int, window_ms: float) -> None:
        self._model, self._metrics = model, metrics
        self._most, self._window = most_crops, window_ms / 1000
        self._waiting: deque[_Clip] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model")
        metrics.watch("ser_queue_crops", "Crops that wait for the model.", self._count)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once it has been closed."""
        return self._thread.is_alive()

    async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
        """See `Hearing`; a caller who is cancelled waits no longer, and what waited for it is dropped."""
        clip = _Clip(self._model.one_crop(samples) if one_crop else self._model.crops(samples), time.monotonic())
        with self._changed:
            if self._closed:
                raise ModelFailure("the service is ending")
            self._waiting.append(clip)
            self._changed.notify()
        return await asyncio.wrap_future(clip.answer)

    def close(self) -> None:
        """Answer all who wait, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _count(self) -> int:
        with self._changed:
            return sum(len(clip.crops) - clip.next for clip in self._waiting)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                self._wait_for_company()
                batch = self._take()
            if batch:
                self._answer(batch)

    def _wait_for_company(self) -> None:
        until = self._waiting[0].came + self._window
        while not self._closed and (left := until - time.monotonic()) > 0:
            if sum(len(clip.crops) - clip.next for clip in self._waiting) >= self._most:
                return
            self._changed.wait(left)

    def _take(self) -> list[tuple[_Clip, int]]:
        """The next crop of one clip after the other, as often as there is room: clip and number of the crop."""
        batch: list[tuple[_Clip, int]] = []
        while self._waiting and len(batch) < self._most:
            clip = self._waiting.popleft()
            if clip.answer.done():  # cancelled, or failed at an earlier crop
                continue
            batch.append((clip, clip.next))
            clip.next += 1
            if clip.next < len(clip.crops):
                self._waiting.append(clip)
        return batch

    def _answer(self, batch: Sequence[tuple[_Clip, int]]) -> None:
        began = time.monotonic()
        heard = self._heard([clip.crops[index] for clip, index in batch])
        self._metrics.batch(len(batch), time.monotonic() - began, sum(row is None for row in heard))
        for (clip, _), row in zip(batch, heard, strict=True):
            with suppress(InvalidStateError):  # cancelled in between, or failed at another crop
                if row is None:
                    clip.answer.set_exception(ModelFailure("the model failed at this speech"))
                    continue
                clip.rows.append(row)
                if len(clip.rows) == len(clip.crops):
                    clip.answer.set_result(self._model.mean(clip.crops, np.stack(clip.rows)))

    def _heard(self, crops: Sequence[Crop]) -> list[np.ndarray | None]:
        """What the model says of each crop; None where it fails, for which it is asked again without company."""
        try:
            return list(self._model.probabilities(crops))
        except Exception:  # of torch, ONNX Runtime or an encoder; the thread must go on whatever it is
            if len(crops) == 1:
                log.exception("The model failed at a crop of %d samples.", len(crops[0].samples))
                return [None]
        return [self._heard([crop])[0] for crop in crops]
