"""Which clips a model was trained on, by what they hold: a file in its folder, so that none of them tests it later.

A digest is that of a clip's decoded samples (`Clip.content`): the same recording under another name or in another
lossless format is recognised, one that was resampled or cut otherwise is not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ser_core.clips import Manifest
from ser_core.ensemble import member_folders
from ser_core.whole_file import write_whole

TRAINED_FILE = "trained_on.txt"


def write_trained_clips(
    folder: Path, manifest: Manifest, rows: np.ndarray, earlier: frozenset[str] = frozenset()
) -> None:
    """Write the digests of the clips `rows` into a model's folder, one a line.

    Args:
        earlier: digests of what the model was trained on that it began with.

    Raises:
        OSError: a disk that is full or cannot be written.
    """
    digests = sorted({*(manifest.clips[row].content for row in rows), *earlier} - {""})
    write_whole(folder / TRAINED_FILE, "".join(f"{digest}\n" for digest in digests))


def trained_clips(folder: Path) -> frozenset[str] | None:
    """Digests of all clips that a model, or any member of an ensemble, was trained on; None where one does not say.

    Raises:
        ArtifactError: an ensemble that is damaged.
    """
    found: set[str] = set()
    for member in member_folders(folder):
        path = member / TRAINED_FILE
        if not path.exists():
            return None
        found.update(path.read_text(encoding="utf-8").split())
    return frozenset(found)
