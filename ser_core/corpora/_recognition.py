"""Which corpus a folder holds, by the names of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ser_core.corpora._scan import BadName, Corpus, audio_files

MOST_LOOKED_AT = 500
"""Files whose names are shown to every corpus, evenly from all: each name takes some microseconds a corpus."""


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """How many of the files looked at have the names of a corpus.

    Attributes:
        clips: files that it reads.
        left_out: files of the corpus that are not for this task.
        files: all audio files that were looked at.
    """

    clips: int
    left_out: int
    files: int

    @property
    def share(self) -> float:
        """Of the files, those whose names the corpus knows; 0 to 1."""
        return (self.clips + self.left_out) / self.files if self.files else 0.0


def recognise(root: Path, corpora: Mapping[str, Corpus]) -> dict[str, Recognised]:
    """What every corpus makes of the file names below a folder, the one that knows most of them first."""
    files = sorted(path.relative_to(root).as_posix() for path in audio_files(root))
    every = max(1, -(-len(files) // MOST_LOOKED_AT))
    looked_at = [PurePosixPath(file) for file in files[::every]]
    found = {name: _known(corpus, looked_at) for name, corpus in corpora.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].clips, -item[1].left_out)))


def _known(corpus: Corpus, files: list[PurePosixPath]) -> Recognised:
    clips = left_out = 0
    for file in files:
        try:
            said = corpus.labels(file)
        except BadName:
            continue
        clips, left_out = clips + (said is not None), left_out + (said is None)
    return Recognised(clips=clips, left_out=left_out, files=len(files))
