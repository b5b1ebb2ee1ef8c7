"""MSP-Podcast: turns of podcasts, labelled by listeners.

Clips lie in `Audios` (or `Audio`), labels in `Labels/labels_consensus.csv` (`labels_concensus.csv` in old releases).
The corpus's own split is its default: Train, Development, and Test1 as test; Test2 and Test3 are left out. So are
clips without agreement (X) and of other emotions (O), unless `--classes` names `no_agreement` or `other`; ratings
(`--target arousal,valence,dominance`) are of all clips. Arousal, valence and dominance are kept as columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_core.clips import NO_AGREEMENT, OTHER
from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere
from ser_core.corpora._tables import Row, Table, csv_rows

CITATION = (
    "Lotfian R, Busso C (2019). Building naturalistic emotionally balanced speech corpus by retrieving emotional "
    "speech from existing podcast recordings. IEEE Transactions on Affective Computing 10(4), 471-483. "
    "https://doi.org/10.1109/TAFFC.2017.2736999"
)
LICENCE = "academic licence of the University of Texas at Dallas, by request"
SYNTHETIC = False
SOURCE = "https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html"

EMOTIONS = {
    "A": "angry",
    "C": "contempt",
    "D": "disgust",
    "F": "fearful",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "U": "surprised",
    "O": OTHER,
    "X": NO_AGREEMENT,
}
PARTS = {"Train": "train", "Development": "validation", "Validation": "validation", "Test1": "test"}
SCALE = dict.fromkeys(("arousal", "valence", "dominance"), (1, 7))

EXAMPLES = {
    "Audios/MSP-PODCAST_0001_0008.wav": Labels(
        clip_id="MSP-PODCAST_0001_0008",
        speaker="127",
        emotion="neutral",
        gender="female",
        language="en",
        part="test",
        further={"arousal": "3.6", "valence": "4.2", "dominance": "4.0"},
    ),
    "msp/Audio/MSP-PODCAST_0002_0033_0001.wav": Labels(
        clip_id="MSP-PODCAST_0002_0033_0001",
        speaker="33",
        emotion="surprised",
        gender="male",
        language="en",
        part="train",
        further={"arousal": "5.0", "valence": "5.2", "dominance": "4.8"},
    ),
}
EXAMPLE_TABLES = {
    "Labels/labels_consensus.csv": (
        "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
        "MSP-PODCAST_0001_0008.wav,N,3.6,4.2,4.0,127,Female,Test1\n"
        "MSP-PODCAST_0002_0033_0001.wav,U,5.0,5.2,4.8,33,Male,Train\n"
    )
}


def _rows(path: Path) -> Iterator[tuple[str, Row | None]]:
    for row in csv_rows(path):
        part = PARTS.get(row["Split_Set"])
        said = {
            "emotion": row["EmoClass"],
            "speaker": row["SpkrID"],
            "gender": row["Gender"].lower(),
            "arousal": row["EmoAct"],
            "valence": row["EmoVal"],
            "dominance": row["EmoDom"],
        }
        yield row["FileName"].removesuffix(".wav"), {**said, "part": part} if part else None


TABLE = Table(files=("labels_con?ensus.csv",), rows=_rows)
labels = Names(
    patterns=(r"MSP-PODCAST_\d{4}_\d{4}(?:_\d{4})?",),
    example="MSP-PODCAST_0001_0008",
    emotions=EMOTIONS,
    speaker="",
    language="en",
)
obtain = elsewhere("msppodcast", SOURCE)
