"""nEMO, emotional speech in Polish.

4,481 clips of 9 actors (4 female, 5 male), 90 sentences, 6 emotions, 24 kHz WAV, in a folder `samples`. A name is
`speaker_emotion_sentence`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = "Christop I (2024). nEMO: dataset of emotional speech in Polish. Proc. LREC-COLING 2024. arXiv 2404.06292"
LICENCE = "CC BY-NC-SA 4.0"
SYNTHETIC = False
SOURCE = "https://github.com/amu-cai/nEMO"

EMOTIONS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}
GENDERS = {
    **dict.fromkeys(("EB0", "IC0", "KD0", "MK0"), "female"),
    **dict.fromkeys(("KS0", "MP0", "SM0", "TP0", "WR0"), "male"),
}

EXAMPLES = {
    "samples/WR0_surprised_64.wav": Labels(
        clip_id="WR0_surprised_64", speaker="WR0", emotion="surprised", gender="male", language="pl"
    ),
    "EB0_anger_57.wav": Labels(clip_id="EB0_anger_57", speaker="EB0", emotion="angry", gender="female", language="pl"),
}

labels = Names(
    patterns=(r"(?P<speaker>[A-Z]{2}0)_(?P<emotion>[a-z]+)_\d+",),
    example="WR0_surprised_64",
    emotions=EMOTIONS,
    genders=GENDERS,
    language="pl",
)
obtain = elsewhere("nemo", SOURCE)
