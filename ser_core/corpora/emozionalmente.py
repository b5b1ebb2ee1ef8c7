"""Emozionalmente: Italian sentences, acted by volunteers over the internet.

6,902 clips of 431 speakers, 7 emotions, 16 or 44.1 kHz WAV, in `audio`, labels in `metadata/samples.csv`, speakers in
`metadata/users.csv`. A name is a number of 13 digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere
from ser_core.corpora._tables import Row, Table, csv_rows

CITATION = (
    "Catania F, Wilke JW, Garzotto F. Emozionalmente: a crowdsourced corpus of simulated emotional speech in Italian. "
    "Zenodo record 6569824"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "https://zenodo.org/records/6569824"

EMOTIONS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "joy": "happy",
    "neutrality": "neutral",
    "sadness": "sad",
    "surprise": "surprised",
}
GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male"}

EXAMPLES = {
    "audio/1613655062436.wav": Labels(
        clip_id="1613655062436",
        speaker="anna",
        emotion="neutral",
        gender="female",
        language="it",
        further={"age": "31"},
    ),
    "emozionalmente_dataset/audio/1615228449232.wav": Labels(
        clip_id="1615228449232",
        speaker="bruno",
        emotion="sad",
        gender="male",
        language="it",
        further={"age": "27"},
    ),
}
EXAMPLE_TABLES = {
    "metadata/samples.csv": (
        "timestamp,actor,sentence,emotion_expressed,file_name\n"
        "1613655062436,anna,Gli operai si alzano presto.,neutrality,1613655062436.wav\n"
        "1615228449232,bruno,La cascata fa molto rumore.,sadness,1615228449232.wav\n"
    ),
    "metadata/users.csv": "username,age,gender\nanna,31,f\nbruno,27,m\n",
}


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    users = {row["username"]: row for row in csv_rows(path.with_name("users.csv"))}
    for row in csv_rows(path):
        user = users.get(row["actor"], {})
        said = {"emotion": row["emotion_expressed"], "speaker": row["actor"], "age": user.get("age", "")}
        gender = GENDERS.get(user.get("gender", "").lower())
        yield row["file_name"].removesuffix(".wav"), said | ({"gender": gender} if gender else {})


TABLE = Table(files=("samples.csv",), rows=_rows)
labels = Names(
    patterns=(r"audio/\d{13}",),
    example="audio/1613655062436",
    emotions=EMOTIONS,
    speaker="",
    language="it",
)
obtain = elsewhere("emozionalmente", SOURCE)
