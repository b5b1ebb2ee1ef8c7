"""MEAD, the Multi-view Emotional Audio-visual Dataset: its sound.

31,729 clips of 48 actors, 8 emotions at up to three levels, in folders `speaker/audio/emotion/level_N`. They are M4A,
which must be converted first, under their names: 020.m4a becomes 020.wav. Speakers W… are female, M… male.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Wang K, Wu Q, Song L, Yang Z, Wu W, Qian C, He R, Qiao Y, Loy CC (2020). MEAD: a large-scale audio-visual "
    "dataset for emotional talking-face generation. Proc. ECCV 2020, 700-717. "
    "https://doi.org/10.1007/978-3-030-58589-1_42"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "https://github.com/uniBruce/Mead"

EMOTIONS = {
    "angry": "angry",
    "contempt": "contempt",
    "disgusted": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprised": "surprised",
}

EXAMPLES = {
    "W019/audio/neutral/level_1/020.wav": Labels(
        clip_id="W019-neutral-level_1-020", speaker="W019", emotion="neutral", gender="female", language="en"
    ),
    "MEAD/M013/audio/sad/level_2/004.wav": Labels(
        clip_id="M013-sad-level_2-004", speaker="M013", emotion="sad", gender="male", language="en"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>(?P<gender>[MW])\d{3})/audio/(?P<emotion>[a-z]+)/(?P<level>level_\d)/(?P<number>\d+)",),
    example="W019/audio/neutral/level_1/020",
    emotions=EMOTIONS,
    clip_id="{speaker}-{emotion}-{level}-{number}",
    genders={"M": "male", "W": "female"},
    gender="{gender}",
    language="en",
)
obtain = elsewhere("mead", SOURCE)
