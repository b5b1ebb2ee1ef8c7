"""JL corpus of New Zealand English.

2,400 clips of 4 actors (2 female, 2 male), 5 primary and 5 secondary emotions, 44.1 kHz WAV, in `Raw JL corpus
(unchecked and unannotated)/JL(wav+txt)`. A name is `speaker_emotion_sentence_repetition`. The secondary emotions are
usually left out: `--classes neutral,happy,sad,angry,excited`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "James J, Tian L, Watson CI (2018). An open source emotional speech corpus for human robot interaction "
    "applications. Proc. Interspeech 2018, 2768-2772. https://doi.org/10.21437/Interspeech.2018-1349"
)
LICENCE = "CC0 1.0"
SYNTHETIC = False
SOURCE = "https://www.kaggle.com/datasets/tli725/jl-corpus"

EMOTIONS = {
    "angry": "angry",
    "excited": "excited",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "anxious": "anxious",
    "apologetic": "apologetic",
    "assertive": "assertive",
    "concerned": "concerned",
    "encouraging": "encouraging",
}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/jlcorpus of its repository
FOLDS = {"emobox": (("male2",), ("female1",), ("male1",), ("female2",))}

EXAMPLES = {
    "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male2_assertive_7a_2.wav": Labels(
        clip_id="male2_assertive_7a_2", speaker="male2", emotion="assertive", gender="male", language="en"
    ),
    "female1_happy_15b_2.wav": Labels(
        clip_id="female1_happy_15b_2", speaker="female1", emotion="happy", gender="female", language="en"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>(?P<gender>female|male)[12])_(?P<emotion>[a-z]+)_\d+[ab]_[12]",),
    example="male2_assertive_7a_2",
    emotions=EMOTIONS,
    genders={"female": "female", "male": "male"},
    gender="{gender}",
    language="en",
)
obtain = elsewhere("jlcorpus", SOURCE)
