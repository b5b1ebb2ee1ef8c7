"""The same application under Ray Serve, which scales the model over a cluster.

    serve run search.service.on_ray:app model=/shared/runs/NAME replicas=4

Fronts take requests, decode files and speak with browsers; replicas hold the model, each with batches of its own. Who
is heard twice is heard alike, so that a front asks another replica when one dies, and its client sees nothing of it.
"""
# No postponed annotations: Ray Serve reads that of `app`'s argument, and of a name it knows nothing.

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, field_validator
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from search.service.app import create_app
from search.service.asked import MOST_CROPS, WINDOW_MS, Engine
from search.service.batching import Batcher, ModelFailure
from search.service.facts import ModelFacts
from search.service.limits import Limits
from search.service.loading import load_service_model
from search.service.metrics import Metrics
from search.service.service import Service

TRIES = 3
"""Replicas that are asked for a clip, at which something may be that ends them."""
BETWEEN_TRIES_SECONDS = 0.2


class Settings(BaseModel):
    """What follows `serve run search.service.on_ray:app` as NAME=VALUE."""

    model_config = ConfigDict(extra="forbid")

    model: Path = Field(description="As `ser predict` takes it, where every node finds it.")
    engine: Engine = Engine.TORCH
    replicas: int = Field(default=1, ge=1, description="Of the model; with most_replicas the fewest.")
    most_replicas: int | None = Field(default=None, ge=1, description="Replicas follow the load, up to so many.")
    fronts: int = Field(default=1, ge=1, description="That take requests.")
    cpus: float = Field(default=1.0, ge=0, description="Of a replica.")
    gpus: float = Field(default=0.0, ge=0, description="Of a replica, which then computes on a GPU.")
    max_batch: int = Field(default=MOST_CROPS, ge=1)
    batch_window_ms: float = Field(default=WINDOW_MS, ge=0)
    max_mib: int = Field(default=Limits.request_mib, ge=1)
    max_seconds: int = Field(default=Limits.file_seconds, ge=1)
    queue: int = Field(default=Limits.queue, ge=1, description="Of every front.")
    streams: int = Field(default=Limits.streams, ge=1, description="Of every front.")
    receive_seconds: float = Field(default=Limits.receive_seconds, gt=0)
    answer_seconds: float = Field(default=Limits.answer_seconds, gt=0)

    @field_validator("model")
    @classmethod
    def _from_anywhere(cls, model: Path) -> Path:
        """Replicas work in folders of their own."""
        return model.absolute() if model.exists() else model

    @property
    def limits(self) -> Limits:
        """Of a front."""
        return Limits(
            request_mib=self.max_mib,
            file_seconds=self.max_seconds,
            queue=self.queue,
            streams=self.streams,
            receive_seconds=self.receive_seconds,
            answer_seconds=self.answer_seconds,
        )


def app(settings: Settings) -> Application:
    """The application for `serve run`, of a front and a model behind it."""
    patience = settings.receive_seconds + settings.answer_seconds
    at_once = settings.fronts * (settings.queue + settings.streams)
    replicas: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.most_replicas is not None:
        most = max(settings.replicas, settings.most_replicas)
        load = {"min_replicas": settings.replicas, "max_replicas": most, "target_ongoing_requests": settings.max_batch}
        replicas = {"autoscaling_config": load}
    model = (
        serve.deployment(_Replica, name="model")
        .options(
            **replicas,
            ray_actor_options={"num_cpus": settings.cpus, **({"num_gpus": settings.gpus} if settings.gpus else {})},
            max_ongoing_requests=at_once,
            graceful_shutdown_timeout_s=patience,
        )
        .bind(settings)
    )
    return (
        serve.deployment(_Front, name="front")
        .options(
            num_replicas=settings.fronts,
            ray_actor_options={"num_cpus": 0.5},
            max_ongoing_requests=settings.queue + settings.streams + 32,  # and those who ask for the page or its health
            graceful_shutdown_timeout_s=patience,
        )
        .bind(model, settings.limits)
    )


class _Replica:
    """The model, in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        device = "cuda" if settings.gpus else "cpu"
        with tempfile.TemporaryDirectory(prefix="ser-serve-") as scratch:
            model, self._facts = load_service_model(settings.model, settings.engine, device, Path(scratch))
        self._batcher = Batcher(model, Metrics(), most_crops=settings.max_batch, window_ms=settings.batch_window_ms)

    async def facts(self) -> ModelFacts:
        return self._facts

    async def probabilities(self, samples: np.ndarray, one_crop: bool) -> np.ndarray:
        """See `search.service.batching.Hearing`."""
        return await self._batcher.probabilities(samples, one_crop=one_crop)

    def check_health(self) -> None:
        """Asked by Ray Serve, which replaces a replica that raises."""
        if not self._batcher.alive:
            raise RuntimeError("the model's thread has ended")

    def __del__(self) -> None:
        if hasattr(self, "_batcher"):
            self._batcher.close()


@serve.ingress()
class _Front:
    """Takes requests."""

    def __init__(self, replicas: DeploymentHandle, limits: Limits) -> None:
        self._replicas, self._limits = replicas, limits

    async def __serve_build_asgi_app__(self) -> FastAPI:
        facts = await self._replicas.facts.remote()
        hearing = _Replicas(self._replicas)
        return create_app(
            Service(hearing=hearing, model=facts, limits=self._limits, metrics=Metrics(), healthy=lambda: True)
        )


class _Replicas:
    """A `Hearing` behind a handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
        for _ in range(TRIES):
            try:
                return await self._handle.probabilities.remote(samples, one_crop)
            except RayActorError:  # it died, or cannot be reached
                await asyncio.sleep(BETWEEN_TRIES_SECONDS)
            except RayTaskError as error:  # whose own text is the replica's traceback
                if isinstance(error.cause, ModelFailure):
                    raise error.cause from None
                raise
        raise ModelFailure(f"{TRIES} replicas of the model died at this speech")
