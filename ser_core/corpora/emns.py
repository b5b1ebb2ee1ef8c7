"""EMNS, Emotive Narrative Storytelling: one speaker of British English.

1,181 cleaned clips, 8 emotions and styles, as WebM in `cleaned_webm` (raw ones in `raw_webm`), labels in
`metadata.csv`. They must be converted first, under their names: recorded_audio_RF6OuQ4.webm becomes
recorded_audio_RF6OuQ4.wav. With one speaker, only `--split random` divides it, whose score does not hold for new
speakers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere
from ser_core.corpora._tables import Row, Table, csv_rows

CITATION = (
    "Noriy KA, Yang X, Zhang JJ (2023). EMNS /Imz/ corpus: an emotive single-speaker dataset for narrative "
    "storytelling in games, television and graphic novels. arXiv 2305.13137"
)
LICENCE = "CC BY 4.0"
SYNTHETIC = False
SOURCE = "https://www.openslr.org/136"

EMOTIONS = {
    "Angry": "angry",
    "Disgust": "disgust",
    "Excited": "excited",
    "Happy": "happy",
    "Neutral": "neutral",
    "Sad": "sad",
    "Sarcastic": "sarcastic",
    "Surprised": "surprised",
}

EXAMPLES = {
    "cleaned_wav/recorded_audio_RF6OuQ4.wav": Labels(
        clip_id="recorded_audio_RF6OuQ4", speaker="3", emotion="disgust", gender="female", language="en"
    ),
    "EMNS/recorded_audio.wav": Labels(
        clip_id="recorded_audio", speaker="3", emotion="surprised", gender="female", language="en"
    ),
}
EXAMPLE_TABLES = {
    "metadata.csv": (
        "id|utterance|description|emotion|date_created|status|gender|age|level|audio_recording|user_id\n"
        "1|Urgh.|with disgust|Disgust|2022|COMPLETED|Female|20|7|wavs/recorded_audio_RF6OuQ4.webm|3\n"
        "2|Oh!|with surprise|Surprised|2022|COMPLETED|Female|20|5|wavs/recorded_audio.webm|3\n"
    )
}


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    for row in csv_rows(path, delimiter="|"):
        said = {"emotion": row["emotion"], "speaker": row["user_id"], "gender": row["gender"].lower()}
        yield Path(row["audio_recording"]).stem, said


TABLE = Table(files=("metadata.csv",), rows=_rows)
labels = Names(
    patterns=(r"recorded_audio(?:_\w+)?",),
    example="recorded_audio_RF6OuQ4",
    emotions=EMOTIONS,
    speaker="",
    language="en",
)
obtain = elsewhere("emns", SOURCE)
