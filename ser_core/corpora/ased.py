"""ASED, the Amharic Speech Emotion Dataset.

2,474 clips of 65 speakers, 5 emotions, 16 kHz WAV, in folders such as `05Angry`. A name is
`emotion-sentence-repetition-gender-speaker`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Retta EA, Almekhlafi E, Sutcliffe R, Mhamed M, Ali H, Feng J (2023). A new Amharic speech emotion dataset and "
    "classification benchmark. ACM TALLIP 22(1). https://doi.org/10.1145/3529759"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "https://github.com/Ethio2021/ASED_V1"

EMOTIONS = {"a": "angry", "f": "fearful", "h": "happy", "n": "neutral", "s": "sad", "S": "sad"}

EXAMPLES = {
    "05Angry/a5-02-01-01-33.wav": Labels(
        clip_id="a5-02-01-01-33", speaker="33", emotion="angry", gender="female", language="am"
    ),
    "ased/02Fearful/f2-04-01-02-04.wav": Labels(
        clip_id="f2-04-01-02-04", speaker="04", emotion="fearful", gender="male", language="am"
    ),
}

labels = Names(
    patterns=(r"(?P<emotion>[a-zA-Z])\d-\d\d-\d\d-(?P<gender>0[12])-(?P<speaker>\d\d)",),
    example="a5-02-01-01-33",
    emotions=EMOTIONS,
    genders={"01": "female", "02": "male"},
    gender="{gender}",
    language="am",
)
obtain = elsewhere("ased", SOURCE)
