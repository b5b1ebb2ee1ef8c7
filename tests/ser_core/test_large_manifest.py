"""A corpus as large as all of EmoBox together: 262,000 clips (Ma et al. 2024, arXiv 2406.07162, table 1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLIPS, SPEAKERS = 262_000, 8_000
MOST_SECONDS, MOST_GIB = 30.0, 2.0

PROGRAM = """
import json, resource, sys, time
from pathlib import Path

import numpy as np

from ser_core.clips import Manifest, order_classes
from ser_core.corpora._manifest import scan_manifest
from ser_core.splits import inner_folds, make_split

began = time.process_time()
clips = scan_manifest(Path(sys.argv[1]), {}).clips
manifest = Manifest(corpus="large", clips=clips, classes=order_classes({clip.emotion for clip in clips}))
found = {"fingerprint": manifest.fingerprint()}
smaller = manifest.with_classes("6")
found["six"] = len(smaller.clips)
for kind in ("speaker", "random", "manifest"):
    split = make_split(manifest, kind, 0)
    found[kind] = [len(split.train), len(split.validation), len(split.test)]
found["folds"] = [len(fold.evaluate) for fold in inner_folds(manifest, make_split(manifest, "speaker", 0), 4, 0)]
found["seconds"] = time.process_time() - began
found["gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_manifest_of_all_of_emobox_is_read_and_divided_in_half_a_minute(tmp_path: Path) -> None:
    """In a process of its own, whose peak of memory and processor time are this work's alone."""
    emotions = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    lines = ["path,speaker,emotion,gender,split"]
    for row in range(CLIPS):
        # speakers have between 1 and some hundred clips, as in corpora of acted and of broadcast speech
        speaker = int((row * 2654435761 % 2**32 / 2**32) ** 2 * SPEAKERS)
        part = ("test", "dev", *["train"] * 8)[speaker % 10]
        gender = "female" if speaker % 2 else "male"
        lines.append(
            f"corpus/speaker-{speaker:05d}/clip-{row:06d}.wav,s{speaker:05d},{emotions[row % 8]},{gender},{part}"
        )
    table = tmp_path / "manifest.csv"
    table.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(table)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for kind in ("speaker", "random", "manifest"):
        assert sum(found[kind]) == CLIPS
    assert found["six"] == CLIPS * 6 // 8
    assert sum(found["folds"]) == found["speaker"][0] + found["speaker"][1]
    assert abs(found["speaker"][2] / CLIPS - 0.15) < 0.01
    assert found["seconds"] < MOST_SECONDS
    assert found["gib"] < MOST_GIB
