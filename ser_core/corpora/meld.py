"""MELD, the Multimodal EmotionLines Dataset: utterances of a television series.

13,708 utterances, 7 emotions, as videos in `train_splits`, `dev_splits_complete` and `output_repeated_splits_test`,
labels in `train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv`. The videos' sound must be extracted first,
under their names: dia0_utt0.mp4 becomes dia0_utt0.wav.

The published parts share their speakers, so they are a column, `published_part`, and no split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere
from ser_core.corpora._tables import Row, Table, csv_rows

CITATION = (
    "Poria S, Hazarika D, Majumder N, Naik G, Cambria E, Mihalcea R (2019). MELD: a multimodal multi-party dataset for "
    "emotion recognition in conversations. Proc. ACL 2019, 527-536. https://doi.org/10.18653/v1/P19-1050"
)
LICENCE = "GPL-3.0"
SYNTHETIC = False
SOURCE = "https://affective-meld.github.io/"

EMOTIONS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprised",
}

EXAMPLES = {
    "train/train_splits/dia0_utt0.wav": Labels(
        clip_id="train/dia0_utt0",
        speaker="Chandler",
        emotion="neutral",
        gender=None,
        language="en",
        further={"published_part": "train"},
    ),
    "MELD.Raw/output_repeated_splits_test/dia0_utt0.wav": Labels(
        clip_id="test/dia0_utt0",
        speaker="Mark",
        emotion="surprised",
        gender=None,
        language="en",
        further={"published_part": "test"},
    ),
}
EXAMPLE_TABLES = {
    "train/train_sent_emo.csv": (
        "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
        '1,"also I was the point person, on it",Chandler,neutral,neutral,0,0\n'
    ),
    "test_sent_emo.csv": (
        "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
        "1,Why do all you're,Mark,surprise,positive,0,0\n"
    ),
}


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    part = path.name.partition("_")[0]
    for row in csv_rows(path):
        clip_id = f"{part}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
        yield clip_id, {"emotion": row["Emotion"], "speaker": row["Speaker"], "published_part": part}


TABLE = Table(files=("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"), rows=_rows)
labels = Names(
    patterns=(
        r"(?P<part>train)_splits/(?P<name>dia\d+_utt\d+)",
        r"(?P<part>dev)_splits_complete/(?P<name>dia\d+_utt\d+)",
        r"output_repeated_splits_(?P<part>test)/(?:final_videos_test)?(?P<name>dia\d+_utt\d+)",
    ),
    example="train_splits/dia0_utt0",
    emotions=EMOTIONS,
    clip_id="{part}/{name}",
    speaker="",
    language="en",
)
obtain = elsewhere("meld", SOURCE)
