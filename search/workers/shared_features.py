"""The features of the development clips, once per node for all of its workers.

What the driver computed before the search lies in Ray's object store, from which every process of a node reads the same
memory without a copy. Where it is too large for that, here or on some node, it is written into the run folder, on
storage that all nodes reach, and memory-mapped: each node then keeps in its page cache what its workers read. All else
is made by the worker that asks for it first, and comes memory-mapped from the cache. None of it holds a test clip.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray

from search.run_folder.paths import FEATURES_FOLDER
from search.wording import bytes_text
from search.workers._handed import fetched
from ser_core.config import FeatureConfig
from ser_core.features.cache import map_frames, open_arrays, write_arrays
from ser_core.features.computing import compute_in_threads
from ser_core.features.file_frames import FileFrames
from ser_core.features.fingerprint import selection_name
from ser_core.features.store import CorpusFeatures, FeatureStore

MOST_COPIED_BYTES = 2**30
"""More features are never copied into an object store: the driver would hold them all in its memory meanwhile."""

USABLE_SHARE = 0.8
"""Of an object store, for features: Ray keeps other things there too, and what does not fit it writes to disk."""

SPARE_BYTES = 256 * 2**20
"""Room in an object store that is made for the features, for everything else."""

MOST_LOCAL_SHARE = 0.4
"""Of the memory that is free on this machine, for an object store that is made here: trials need the rest."""


@dataclass(frozen=True)
class SharedStore:
    """Where workers find a `FeatureStore`; small, so that it travels with every job.

    Attributes:
        content: in Ray's object store: the whole `FeatureStore`, or what it has beside its frames.
        frames: the file that holds them, "" when they are in the object store.
    """

    content: ray.ObjectRef
    frames: str = ""

    def open(self) -> FeatureStore:
        """The store, on any node; frames are read-only memory that this process shares with its neighbours."""
        content = ray.get(self.content)
        if not self.frames:
            store: FeatureStore = content
            return store
        return FeatureStore(frames=map_frames(Path(self.frames)), **content)


@dataclass(frozen=True)
class MadeFeatures:
    """The features that were not computed before the search, for workers: from the cache, or made by who asks first.

    Attributes:
        corpus: in Ray's object store: the `CorpusFeatures`.
        rows: likewise: those of the development clips.
    """

    corpus: ray.ObjectRef
    rows: ray.ObjectRef

    def store(self, settings: FeatureConfig, threads: int) -> FeatureStore:
        """See `search.workers.context.FeatureMaker`; frames are memory-mapped, and hold the development clips alone."""
        compute = partial(compute_in_threads, threads=threads)
        return fetched(self.corpus).store(settings, fetched(self.rows), compute=compute)


def share_maker(corpus: CorpusFeatures, rows: np.ndarray) -> MadeFeatures:
    """What every worker needs to make features that `share_stores` did not share."""
    return MadeFeatures(ray.put(replace(corpus, elsewhere=True)), ray.put(rows))


def share_stores(
    stores: Mapping[str, FeatureStore], rows: np.ndarray, folder: Path, log: Callable[[str], None], *, runs: int = 1
) -> dict[str, SharedStore]:
    """Put the clips `rows` of every store where all workers can read them; of frames that are left in the audio files,
    where to find them.

    Args:
        stores: any keys, which the result has too.
        rows: of the development clips, in every store.
        folder: of the run, on storage that all nodes reach.
        log: gets a line that says where they went.
        runs: that have features of their own there, an equal share of the room for each.

    Raises:
        FeatureStoreError: they are too large for memory, and the run folder cannot be written.
    """
    needed = sum(selected_bytes(store, rows) for store in stores.values())
    room = usable_bytes([node["Resources"] for node in ray.nodes() if node["Alive"]]) // runs
    size, mapped = f"{bytes_text(needed)} of features", folder / FEATURES_FOLDER
    copied = needed <= min(room, MOST_COPIED_BYTES)
    if needed > MOST_COPIED_BYTES:
        log(f"{size} are memory-mapped from {mapped}, which every node must reach")
    elif needed > room:
        log(
            f"{size} are more than the {bytes_text(room)} that the smallest object store of a node has for them: they "
            f"are memory-mapped from {mapped}, which every node must reach"
        )
    elif needed:
        log(f"{size} in Ray's object store: one copy per node")

    def shared(store: FeatureStore) -> SharedStore:
        if copied or isinstance(store.frames, FileFrames):
            return SharedStore(ray.put(store.select(rows)))
        return _map(store, rows, mapped)

    return {key: shared(store) for key, store in stores.items()}


def local_store_bytes(stores: Mapping[str, FeatureStore], rows: np.ndarray) -> int:
    """The size of an object store on this machine that holds the features, as far as memory allows."""
    needed = sum(selected_bytes(store, rows) for store in stores.values())
    wanted = int((needed if needed <= MOST_COPIED_BYTES else 0) / USABLE_SHARE) + SPARE_BYTES
    return max(SPARE_BYTES, min(wanted, local_room_bytes()))


def local_room_bytes() -> int:
    """The largest object store that is made on this machine. It takes memory only as it is filled."""
    free = ray._private.utils.estimate_available_memory()
    shared = Path("/dev/shm")
    room = shutil.disk_usage(shared).free if shared.exists() else free  # beyond it Ray would put the store on a disk
    return max(SPARE_BYTES, min(int(MOST_LOCAL_SHARE * free), int(0.95 * room)))


def usable_bytes(nodes: Sequence[Mapping[str, float]]) -> int:
    """What the smallest object store among the nodes has for features: each holds a copy, that of the driver too."""
    return int(USABLE_SHARE * min((node.get("object_store_memory", 0.0) for node in nodes), default=0.0))


def selected_bytes(store: FeatureStore, rows: np.ndarray) -> int:
    """Size of the frames of the clips `rows`; 0 where they are left in the audio files."""
    if isinstance(store.frames, FileFrames):
        return 0
    frames = int((store.offsets[rows + 1] - store.offsets[rows]).sum())
    return frames * store.bins * store.frames.dtype.itemsize


def clear_stores(folder: Path) -> None:
    """Delete what `share_stores` left in a run folder, when no worker needs it any more."""
    shutil.rmtree(folder / FEATURES_FOLDER, ignore_errors=True)


def _map(store: FeatureStore, rows: np.ndarray, folder: Path) -> SharedStore:
    """Write the rows clip by clip, unless an earlier session of the run has: no copy of them is ever in memory."""
    target = folder / selection_name(store.fingerprint, rows)
    arrays = open_arrays(target)
    if arrays is None:
        folder.mkdir(parents=True, exist_ok=True)
        arrays = write_arrays(target, store.clips(rows))
    content: dict[str, Any] = {field.name: getattr(store, field.name) for field in fields(store)}
    del content["frames"]
    content |= {
        "offsets": arrays[1],
        "truth": store.truth[rows],
        "clip_ids": tuple(store.clip_ids[row] for row in rows),
    }
    return SharedStore(ray.put(content), str((target / "frames.npy").resolve()))
