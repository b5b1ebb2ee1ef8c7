"""URDU, utterances of Urdu talk shows.

400 clips of 29 speakers by their names (38 are published), 4 emotions, not acted, 44.1 kHz WAV, in folders `Angry`,
`Happy`, `Neutral` and `Sad`. A name is `speaker_file_emotion`: in SM4_F2_A054, M is for male.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Latif S, Qayyum A, Usman M, Qadir J (2018). Cross lingual speech emotion recognition: Urdu vs. Western "
    "languages. Proc. FIT 2018, 88-93. https://arxiv.org/abs/1812.10411"
)
LICENCE = "research only"
SYNTHETIC = False
SOURCE = "https://github.com/siddiquelatif/urdu-dataset"

EMOTIONS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}

EXAMPLES = {
    "Angry/SM4_F2_A054.wav": Labels(
        clip_id="SM4_F2_A054", speaker="SM4", emotion="angry", gender="male", language="ur"
    ),
    "URDU/Sad/SF11_F4_S04.flac": Labels(
        clip_id="SF11_F4_S04", speaker="SF11", emotion="sad", gender="female", language="ur"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>S(?P<gender>[FM])\d+)_F\d+_(?P<emotion>[A-Z])\d+",),
    example="SM4_F2_A054",
    emotions=EMOTIONS,
    genders={"F": "female", "M": "male"},
    gender="{gender}",
    language="ur",
)
obtain = elsewhere("urdu", SOURCE)
