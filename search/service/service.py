"""What stands behind the application: places, files to read, somebody who hears, and numbers of it all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import UploadFile

from search.service.answers import FileAnswer, answer_of
from search.service.batching import Hearing, ModelFailure
from search.service.facts import ModelFacts
from search.service.limits import Limits, Places, too_late, too_many
from search.service.metrics import Metrics
from search.service.uploads import Reader, shown_name, uploaded_files
from ser_core.features.audio import AudioError
from ser_core.printer import said_of


@dataclass(kw_only=True)
class Service:
    """What the application answers with.

    Attributes:
        hearing: says how speech sounds.
        healthy: True while it does.
    """

    hearing: Hearing
    model: ModelFacts
    limits: Limits
    metrics: Metrics
    healthy: Callable[[], bool]
    reader: Reader = field(init=False)
    files: Places = field(init=False)
    streams: Places = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.model.sample_rate_hz, self.limits)
        self.files, self.streams = Places(self.limits.queue), Places(self.limits.streams)
        self.metrics.watch("ser_queue_files", "Files that are read or wait for the model.", lambda: self.files.taken)
        self.metrics.watch("ser_streams", "Streams that are open.", lambda: self.streams.taken)

    async def predicted(self, file: UploadFile) -> FileAnswer:
        """What one file says, or why it says nothing."""
        name, answer = shown_name(file.filename), answer_of(self.model.target)
        try:
            samples = await self.reader.samples(file)
            told = await self.hearing.probabilities(samples)
        except AudioError as error:
            self.metrics.file("refused")
            return answer(file=name, error=str(error))
        except ModelFailure as error:
            self.metrics.file("failed")
            return answer(file=name, error=f"{error}; the reason is in the service's log")
        self.metrics.file("predicted")
        seconds = round(len(samples) / self.model.sample_rate_hz, 3)
        return answer(file=name, seconds=seconds, **said_of(self.model.target).document(told))

    @asynccontextmanager
    async def place(self, number: int = 1) -> AsyncIterator[None]:
        """Room for so many files.

        Raises:
            Refusal: there is none.
        """
        if not self.files.take(number):
            raise too_many(self.limits)
        try:
            yield
        finally:
            self.files.give_back(number)

    async def answer(self, request: Request) -> list[FileAnswer]:
        """Of every file of a request, for the first of which there is a place since before it is read.

        Raises:
            Refusal: a request that is not served, see `uploaded_files`; no place for its files, or no answer in time.
        """
        async with self.place():
            files = await uploaded_files(request, self.limits)
            try:
                async with self.place(len(files) - 1), asyncio.timeout(self.limits.answer_seconds):
                    async with asyncio.TaskGroup() as group:  # whose other tasks end with one that fails
                        tasks = [group.create_task(self.predicted(file)) for file in files]
                    return [task.result() for task in tasks]
            except TimeoutError:
                raise too_late(self.limits) from None
            finally:
                for file in files:
                    await file.close()
