"""SAVEE, Surrey Audio-Visual Expressed Emotion.

480 clips of 4 male speakers of British English, 7 emotions, 44.1 kHz WAV. As distributed, a clip is a letter or two
and a number in the speaker's folder (`AudioData/DC/sa01.wav`); re-packed, one folder holds `DC_sa01.wav`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Haq S, Jackson PJB (2010). Multimodal emotion recognition. In: Machine Audition: Principles, Algorithms and "
    "Systems, IGI Global, 398-423. https://doi.org/10.4018/978-1-61520-919-4"
)
LICENCE = "research only, after registration"
SYNTHETIC = False
SOURCE = "http://kahlan.eps.surrey.ac.uk/savee/"

EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/savee of its repository
FOLDS = {"emobox": (("JE",), ("KL",), ("DC",), ("JK",))}

EXAMPLES = {
    "AudioData/DC/sa01.wav": Labels(clip_id="DC_sa01", speaker="DC", emotion="sad", gender="male", language="en"),
    "ALL/KL_su15.wav": Labels(clip_id="KL_su15", speaker="KL", emotion="surprised", gender="male", language="en"),
}

labels = Names(
    patterns=(r"(?P<speaker>DC|JE|JK|KL)[/_](?P<emotion>[a-z]{1,2})(?P<take>\d\d)",),
    example="DC_sa01",
    emotions=EMOTIONS,
    clip_id="{speaker}_{emotion}{take}",
    genders=dict.fromkeys(("DC", "JE", "JK", "KL"), "male"),
    language="en",
)
obtain = elsewhere("savee", SOURCE)
