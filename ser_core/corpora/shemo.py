"""ShEMO, the Sharif Emotional Speech Database.

3,000 clips of radio plays by 87 native speakers of Persian (31 female, 56 male), 6 emotions, 44.1 kHz WAV, in folders
`female` and `male`. A name is the speaker, the initial of the emotion, and a number. Fear, of which there are 38
clips, is usually left out: `--classes neutral,happy,sad,angry,surprised`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Mohamad Nezami O, Jamshid Lou P, Karami M (2019). ShEMO: a large-scale validated database for Persian speech "
    "emotion detection. Language Resources and Evaluation 53(1), 1-16. https://doi.org/10.1007/s10579-018-9427-x"
)
LICENCE = "academic and research use"
SYNTHETIC = False
SOURCE = "https://github.com/mansourehk/ShEMO"

EMOTIONS = {"A": "angry", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad", "W": "surprised"}

EXAMPLES = {
    "male/M36S02.wav": Labels(clip_id="M36S02", speaker="M36", emotion="sad", gender="male", language="fa"),
    "shemo/female/F07W05.wav": Labels(
        clip_id="F07W05", speaker="F07", emotion="surprised", gender="female", language="fa"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>(?P<gender>[FM])\d\d)(?P<emotion>[A-Z])\d\d\d?",),
    example="M36S02",
    emotions=EMOTIONS,
    genders={"F": "female", "M": "male"},
    gender="{gender}",
    language="fa",
)
obtain = elsewhere("shemo", SOURCE)
