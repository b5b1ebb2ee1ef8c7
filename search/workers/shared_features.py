"""The features of the development clips, once per node for all of its workers.

What the driver computed before the search lies in Ray's object store, from which every process of a node reads the same
memory without a copy. Where it is too large for that, here or on some node, it is written into the run folder, on
storage that all nodes reach, and memory-mapped: each node then keeps in its page cache what its workers read. All else
is made by the worker that asks for it first, and comes memory-mapped from the cache. None of it holds a test clip.

Runs side by side share them (`CommonFeatures`). Where these test different clips, as the folds of a protocol do, every
clip is one to train on for some of them: the frames of all lie there once, and what a job is given, a view of them,
knows of the development clips of its run alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray

from search.run_folder.paths import FEATURES_FOLDER
from search.wording import bytes_text
from search.workers._handed import fetched
from ser_core.config import FeatureConfig
from ser_core.features.cache import locked, map_frames, open_arrays, write_arrays
from ser_core.features.computing import compute_in_threads
from ser_core.features.file_frames import FileFrames
from ser_core.features.fingerprint import selection_name
from ser_core.features.frames import end_to_end
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
        content: in Ray's object store: what it has beside its frames.
        frames: likewise, or the file that holds them.
    """

    content: ray.ObjectRef
    frames: ray.ObjectRef | str

    def open(self) -> FeatureStore:
        """The store, on any node; frames are read-only memory that this process shares with its neighbours."""
        frames = map_frames(Path(self.frames)) if isinstance(self.frames, str) else ray.get(self.frames)
        return FeatureStore(frames=frames, **ray.get(self.content))


@dataclass(frozen=True)
class MadeFeatures:
    """The features that were not computed before the search, for workers: from the cache, or made by who asks first.

    Attributes:
        corpus: in Ray's object store: the `CorpusFeatures`.
        rows: likewise: those of the development clips.
        whole: they are made of all clips, for runs that test others, and this run has a view of them.
    """

    corpus: ray.ObjectRef
    rows: ray.ObjectRef
    whole: bool = False

    def store(self, settings: FeatureConfig, threads: int) -> FeatureStore:
        """See `search.workers.context.FeatureMaker`; frames are memory-mapped."""
        compute = partial(compute_in_threads, threads=threads)
        corpus, rows = fetched(self.corpus), fetched(self.rows)
        if self.whole:
            every: FeatureStore = corpus.store(settings, compute=compute)
            return every.view(rows)
        selected: FeatureStore = corpus.store(settings, rows, compute=compute)
        return selected


@dataclass
class CommonFeatures:
    """What runs side by side have laid where all workers can read it; a run by itself has one of its own.

    Attributes:
        folder: on storage that all nodes reach, for what is too large for memory.
        whole: the runs test different clips, so that the frames of all clips are laid there.
        sharers: processes that each lay down their own, and share the room.
        frames: name of a selection of a store's clips -> where their frames lie.
        copied_bytes: of those in Ray's object store.
    """

    folder: Path
    whole: bool = False
    sharers: int = 1
    frames: dict[str, ray.ObjectRef | str] = field(default_factory=dict)
    copied_bytes: int = 0

    def laid(self, rows: np.ndarray, store: FeatureStore) -> np.ndarray:
        """The rows of a store whose frames are laid for a run that has the clips `rows`."""
        return np.arange(len(store.clip_ids)) if self.whole else rows


def share_maker(corpus: CorpusFeatures, rows: np.ndarray, *, whole: bool = False) -> MadeFeatures:
    """What every worker needs to make features that `share_stores` did not share."""
    return MadeFeatures(ray.put(replace(corpus, elsewhere=True)), ray.put(rows), whole)


def share_stores(
    stores: Mapping[str, FeatureStore], rows: np.ndarray, common: CommonFeatures, log: Callable[[str], None]
) -> dict[str, SharedStore]:
    """Put the clips `rows` of every store where all workers can read them; of frames that are left in the audio files,
    where to find them.

    Args:
        stores: any keys, which the result has too.
        rows: of the development clips, in every store.
        common: what is there already, and is not laid there again.
        log: gets a line that says where they went.

    Raises:
        FeatureStoreError: they are too large for memory, and the folder cannot be written.
    """
    laid = {key: common.laid(rows, store) for key, store in stores.items()}
    names = {key: selection_name(store.fingerprint, laid[key]) for key, store in stores.items()}
    missing = {key: store for key, store in stores.items() if names[key] not in common.frames}
    needed = sum(selected_bytes(store, laid[key]) for key, store in missing.items())
    room = usable_bytes([node["Resources"] for node in ray.nodes() if node["Alive"]]) // common.sharers
    room = max(0, room - common.copied_bytes)
    copied = needed <= min(room, MOST_COPIED_BYTES - common.copied_bytes)
    if needed:
        log(_where(needed, room, common, copied=copied))
    for key, store in missing.items():
        if copied or isinstance(store.frames, FileFrames):
            common.copied_bytes += selected_bytes(store, laid[key])
            common.frames[names[key]] = ray.put(store.select(laid[key]).frames)
        else:
            common.frames[names[key]] = _mapped(store, laid[key], common.folder / FEATURES_FOLDER)
    return {
        key: SharedStore(ray.put(_beside_frames(store, rows, laid[key])), common.frames[names[key]])
        for key, store in stores.items()
    }


def _where(needed: int, room: int, common: CommonFeatures, *, copied: bool) -> str:
    """What is said of so many bytes of features."""
    size, folder = f"{bytes_text(needed)} of features", common.folder / FEATURES_FOLDER
    if copied:
        return f"{size} in Ray's object store: one copy per node"
    if needed > MOST_COPIED_BYTES - common.copied_bytes:
        return f"{size} are memory-mapped from {folder}, which every node must reach"
    return (
        f"{size} are more than the {bytes_text(room)} that the smallest object store of a node has for them: "
        f"they are memory-mapped from {folder}, which every node must reach"
    )


def _beside_frames(store: FeatureStore, rows: np.ndarray, laid: np.ndarray) -> dict[str, Any]:
    """What a store of the clips `rows` has beside its frames, which lie among those of the clips `laid`."""
    offsets = np.concatenate([[0], np.cumsum(np.diff(store.bounds[laid]))])
    content: dict[str, Any] = {each.name: getattr(store, each.name) for each in fields(store)}
    del content["frames"]
    return content | {
        "bounds": end_to_end(offsets)[np.searchsorted(laid, rows)],
        "truth": store.truth[rows],
        "clip_ids": tuple(store.clip_ids[row] for row in rows),
    }


def local_store_bytes(
    stores: Mapping[str, FeatureStore], rows: np.ndarray, common: CommonFeatures, *, kinds: int = 1
) -> int:
    """The size of an object store on this machine that holds the features, as far as memory allows.

    Args:
        rows, common: see `share_stores`.
        kinds: how many times as much is to come, since others have features of other kinds.
    """
    needed = sum(selected_bytes(store, common.laid(rows, store)) for store in stores.values())
    copied = min(kinds * needed, MOST_COPIED_BYTES) if needed <= MOST_COPIED_BYTES else 0
    wanted = int(copied / USABLE_SHARE) + SPARE_BYTES
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
    frames = int(np.diff(store.bounds[rows]).sum())
    return frames * store.bins * store.frames.dtype.itemsize


def clear_stores(folder: Path) -> None:
    """Delete what `share_stores` left in a folder, when no worker needs it any more."""
    shutil.rmtree(folder / FEATURES_FOLDER, ignore_errors=True)


def _mapped(store: FeatureStore, rows: np.ndarray, folder: Path) -> str:
    """Write the frames of the rows clip by clip, unless an earlier session has: no copy of them is ever in memory."""
    target = folder / selection_name(store.fingerprint, rows)
    with locked(target):  # another driver may want the same
        if open_arrays(target) is None:
            write_arrays(target, store.clips(rows))
    return str((target / "frames.npy").resolve())
