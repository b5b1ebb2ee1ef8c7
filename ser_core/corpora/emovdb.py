"""EmoV-DB, the Emotional Voices Database.

6,887 clips of 4 speakers of English (bea and jenie female, josh and sam male), 5 styles, 16 or 44.1 kHz WAV, in
folders such as `jenie_Amused`, or `jenie/Amused` when sorted. A name is `style_range_sentence`, the same for all
speakers.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Adigwe A, Tits N, El Haddad K, Ostadabbas S, Dutoit T (2018). The emotional voices database: towards "
    "controlling the emotion dimension in voice generation systems. arXiv 1806.09514"
)
LICENCE = "research, teaching and personal experimentation; not commercial"
SYNTHETIC = False
SOURCE = "https://github.com/numediart/EmoV-DB"

EMOTIONS = {
    "amused": "amused",
    "anger": "angry",
    "disgust": "disgust",
    "neutral": "neutral",
    "sleepiness": "sleepy",
}

EXAMPLES = {
    "jenie_Amused/amused_57-84_0057.wav": Labels(
        clip_id="jenie/amused_57-84_0057", speaker="jenie", emotion="amused", gender="female", language="en"
    ),
    "EmoV-DB_sorted/sam/Angry/anger_1-28_0011.wav": Labels(
        clip_id="sam/anger_1-28_0011", speaker="sam", emotion="angry", gender="male", language="en"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>bea|jenie|josh|sam)[_/][A-Za-z]+/(?P<emotion>[A-Za-z]+)_(?P<number>[\d_-]+)",),
    example="jenie_Amused/amused_57-84_0057",
    emotions=EMOTIONS | {"Disgust": "disgust", "Neutral": "neutral"},
    clip_id="{speaker}/{stem}",
    genders={"bea": "female", "jenie": "female", "josh": "male", "sam": "male"},
    language="en",
)
obtain = elsewhere("emovdb", SOURCE)
