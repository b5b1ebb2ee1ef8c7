"""Features of a large corpus, computed by the workers of a cluster instead of by the driver alone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial

import numpy as np

from search.workers._remote_calls import in_order, nodes_without
from search.workers.ray_session import gpus_available, ray_session
from ser_core.clips import Clip
from ser_core.config import ENCODER_KINDS, FeatureConfig
from ser_core.features.computing import compute_in_threads, features_of_clips

LEAST_CLIPS = 20_000
"""Below this the driver is done within a minute or so, sooner than a cluster has started its machines."""

LEAST_ENCODED_CLIPS = 500
"""The same where an encoder computes them, which is a hundred times slower without a GPU."""

CLIPS_PER_TASK = 32


def worth_spreading(clips: int, settings: FeatureConfig) -> bool:
    """True when so many clips are faster to do on many machines."""
    return clips >= (LEAST_ENCODED_CLIPS if settings.kind in ENCODER_KINDS else LEAST_CLIPS)


def compute_on_workers(
    clips: Sequence[Clip], settings: FeatureConfig, *, address: str, on_gpus: bool, log: Callable[[str], None]
) -> Generator[list[np.ndarray], None, None]:
    """The features of clips, in order, by the nodes of the cluster at `address`; a
    `ser_core.features.computing.Compute`.

    Where a node does not see the corpus, the driver computes them all, and says so.

    Args:
        on_gpus: an encoder runs on GPUs, also where the cluster has none up yet.
        log: gets a line that says who computes.

    Raises:
        ConnectionError: no such cluster, or it lost the same clips again and again.
        AudioError, ConfigError, PretrainedError: see `ser_core.features.store.feature_store`.
    """
    with ray_session(address, object_store_bytes=0):
        if blind := nodes_without(clips[0].path):
            log(
                f"{', '.join(blind)} cannot read {clips[0].path}: this machine alone computes the features. With the "
                f"corpus on storage of all nodes they would share the work"
            )
            yield from compute_in_threads(clips, settings)
            return
        log(f"The workers compute the features of {len(clips):,} clips.")
        batches = (clips[start : start + CLIPS_PER_TASK] for start in range(0, len(clips), CLIPS_PER_TASK))
        gpus = float(settings.kind in ENCODER_KINDS and (on_gpus or gpus_available()))
        compute = partial(features_of_clips, settings=settings, device="cuda" if gpus else "cpu")
        yield from in_order(compute, batches, gpus=gpus)
