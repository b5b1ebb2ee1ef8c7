"""A manifest of a million lines: read, checked and divided, without its audio files; time and memory.

    python benchmarks/manifest.py [LINES]

The work runs in a process of its own, so that its processor time and its peak of memory are this work's alone. On a
machine with other work to do, its time on the clock is longer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

LINES = 1_000_000
CLIPS_OF_A_SPEAKER = 33
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

PROGRAM = """
import json, resource, sys, time
from pathlib import Path

from ser_core.clips import Manifest, order_classes
from ser_core.corpora._manifest import scan_manifest
from ser_core.splits import make_split

def now():
    return time.process_time(), time.perf_counter()

seconds, began = {}, now()

def lap(what):
    global began
    ended = now()
    seconds[what] = [end - begin for begin, end in zip(began, ended)]
    began = ended

scan = scan_manifest(Path(sys.argv[1]), {})
lap("read")
classes = order_classes({clip.emotion for clip in scan.clips})
manifest = Manifest(corpus="large", clips=scan.clips, classes=classes, columns=scan.columns)
manifest.fingerprint()
lap("checked")
split = make_split(manifest, "speaker", 0)
lap("divided")
clips = [len(split.train), len(split.validation), len(split.test)]
gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"seconds": seconds, "clips": clips, "gib": gib}))
"""


def write_manifest(path: Path, lines: int) -> None:
    """A table of speakers with between one and some hundred clips each."""
    speakers = max(3, lines // CLIPS_OF_A_SPEAKER)
    with path.open("w") as file:
        file.write("path,speaker,emotion,gender,language\n")
        for row in range(lines):
            speaker = int((row * 2654435761 % 2**32 / 2**32) ** 2 * speakers)
            gender, language = ("female", "male")[speaker % 2], ("de", "en", "fr")[speaker % 3]
            name = f"corpus/speaker-{speaker:05d}/clip-{row:07d}.wav"
            file.write(f"{name},s{speaker:05d},{EMOTIONS[row % 8]},{gender},{language}\n")


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "manifest.csv")
        write_manifest(manifest, lines)
        command = [sys.executable, "-c", PROGRAM, str(manifest)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    title = f"manifest of {lines:,} lines, peak {found['gib']:.2f} GiB"
    table = Table("step", "processor time, s", "by the clock, s", title=title)
    together = [sum(each) for each in zip(*found["seconds"].values(), strict=True)]
    for step, seconds in (*found["seconds"].items(), ("all", together)):
        table.add_row(step, *(f"{each:.1f}" for each in seconds))
    Console().print(table)


if __name__ == "__main__":
    main()
