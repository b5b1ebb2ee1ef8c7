"""A corpus of one's own: a manifest made from file names, and a search on it.

    python examples/own_corpus.py [FOLDER]

The recordings are those of the synthetic corpus, whose names read speaker-emotion-take. For yours, change `row()`.
FOLDER gets the manifest and the run.
"""

import csv
import sys
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

import search
from ser_core.corpora import corpus_module


def row(file: Path) -> dict[str, str]:
    """What a file name says. Speakers decide who trains and who tests, so they must be right."""
    speaker, emotion, _ = file.stem.split("-")
    return {"path": str(file), "speaker": speaker, "emotion": emotion, "gender": speaker.rstrip("0123456789")}


def write_manifest(recordings: Path, manifest: Path) -> None:
    """A line for every recording below a folder."""
    rows = [row(file) for file in sorted(recordings.rglob("*.flac"))]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main(folder: str | None = None) -> None:
    """Two emotions against all others, on speakers that nothing was tuned on."""
    place = Path(folder or tempfile.mkdtemp(prefix="own-corpus-"))
    place.mkdir(parents=True, exist_ok=True)
    recordings = corpus_module("demo").obtain(user_cache_path("ser-search"), lambda *_: None)
    write_manifest(recordings, place / "manifest.csv")
    run = search.tune(
        model="mlp",
        data=str(place / "manifest.csv"),
        classes="happy,sad,other=angry+neutral",
        trials=3,
        max_epochs=4,
        finalists=1,
        seeds=1,
        run_dir=place / "run",
    )
    print(f"{run.result['corpus']['clips']} clips, test speakers {', '.join(run.result['split']['test_speakers'])}")
    for word, recall in run.result["test"]["per_class_recall"].items():
        print(f"{word}: recall {recall['mean']:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
