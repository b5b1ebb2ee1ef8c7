"""TESS, the Toronto Emotional Speech Set.

2,800 clips of 2 actresses, an older and a younger one, who say 200 words after "Say the word", 7 emotions, 24.4 kHz
WAV. A name is `speaker_word_emotion`; copies put the clips into folders such as `OAF_angry`, once or in two nestings,
and one clip is called OA_bite_neutral in some.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis, V1. "
    "https://doi.org/10.5683/SP2/E8H2MF"
)
LICENCE = "CC BY-NC-ND 4.0"
SYNTHETIC = False
SOURCE = "https://doi.org/10.5683/SP2/E8H2MF"

EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",  # pleasant surprise
    "sad": "sad",
}

EXAMPLES = {
    "TESS Toronto emotional speech set data/OAF_angry/OAF_back_angry.wav": Labels(
        clip_id="OAF_back_angry", speaker="OAF", emotion="angry", gender="female", language="en"
    ),
    "OAF_neutral/OA_bite_neutral.wav": Labels(
        clip_id="OAF_bite_neutral", speaker="OAF", emotion="neutral", gender="female", language="en"
    ),
    "YAF_youth_ps.wav": Labels(
        clip_id="YAF_youth_ps", speaker="YAF", emotion="surprised", gender="female", language="en"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>OA|YA)F?_(?P<word>[a-z-]+)_(?P<emotion>[a-z]+)",),
    example="OAF_back_angry",
    emotions=EMOTIONS,
    clip_id="{speaker}_{word}_{emotion}",
    speaker="{speaker}F",
    genders={"OAF": "female", "YAF": "female"},
    language="en",
)
obtain = elsewhere("tess", SOURCE)
