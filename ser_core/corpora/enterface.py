"""eNTERFACE'05, an audio-visual emotion database: its sound.

1,263 videos of 44 subjects of 14 nationalities who speak English, 6 emotions, in folders `subject N/emotion/sentence
N`. The videos' sound must be extracted first, under their names: s14_an_3.avi becomes s14_an_3.wav.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Martin O, Kotsia I, Macq B, Pitas I (2006). The eNTERFACE'05 audio-visual emotion database. Proc. ICDEW 2006. "
    "https://doi.org/10.1109/ICDEW.2006.145"
)
LICENCE = "research only"
SYNTHETIC = False
SOURCE = "https://enterface.net/enterface05/main.php?frame=emotion"

EMOTIONS = {
    "an": "angry",
    "di": "disgust",
    "fe": "fearful",
    "ha": "happy",
    "sa": "sad",
    "su": "surprised",
}

EXAMPLES = {
    "subject 14/anger/sentence 3/s14_an_3.wav": Labels(
        clip_id="s14_an_3", speaker="14", emotion="angry", gender=None, language="en"
    ),
    "subject 6/fear/sentence 2/s_6_fe_2.wav": Labels(
        clip_id="s_6_fe_2", speaker="6", emotion="fearful", gender=None, language="en"
    ),
}

labels = Names(
    patterns=(r"s_?(?P<speaker>\d+)_(?:3_)?(?P<emotion>[a-z]{2})(?:_(?P<sentence>\d))?(?:avi)?",),
    example="subject 14/anger/sentence 3/s14_an_3",
    emotions=EMOTIONS,
    language="en",
)
obtain = elsewhere("enterface", SOURCE)
