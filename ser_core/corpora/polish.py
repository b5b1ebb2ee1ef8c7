"""Emotions in Polish speech recordings.

450 clips of 5 young men, 6 words, 3 emotions, 5 repetitions, 44.1 kHz WAV. A name is
`speaker.emotion_word_repetition`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Mięsikowska M, Świsulski D (2020). Emotions in Polish speech recordings. Gdańsk University of Technology. "
    "https://doi.org/10.34808/h46c-hb44"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "https://doi.org/10.34808/h46c-hb44"

EMOTIONS = {"a": "angry", "n": "neutral", "s": "fearful"}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/polish of its repository
FOLDS = {"emobox": (("m3",), ("m2",), ("m4",), ("m5",), ("m1",))}

EXAMPLES = {
    "m3.s_trzymaj_5.wav": Labels(
        clip_id="m3.s_trzymaj_5", speaker="m3", emotion="fearful", gender="male", language="pl"
    ),
    "polish/m1.n_podaj_2.wav": Labels(
        clip_id="m1.n_podaj_2", speaker="m1", emotion="neutral", gender="male", language="pl"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>m[1-5])\.(?P<emotion>[a-z])_[a-z]+_\d",),
    example="m3.s_trzymaj_5",
    emotions=EMOTIONS,
    genders=dict.fromkeys(("m1", "m2", "m3", "m4", "m5"), "male"),
    language="pl",
)
obtain = elsewhere("polish", SOURCE)
