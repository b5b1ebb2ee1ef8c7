"""EMOVO, the Italian emotional speech corpus.

588 clips of 6 actors (3 female, 3 male), 14 sentences, 7 emotions, 48 kHz WAV, in a folder for each speaker. A name is
`emotion-speaker-sentence`.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Costantini G, Iaderola I, Paoloni A, Todisco M (2014). EMOVO corpus: an Italian emotional speech database. "
    "Proc. LREC 2014, 3501-3504. https://aclanthology.org/L14-1478/"
)
LICENCE = "CC BY-NC-SA 4.0"
SYNTHETIC = False
SOURCE = "http://voice.fub.it/activities/corpora/emovo/index.html"

EMOTIONS = {
    "dis": "disgust",  # disgusto
    "gio": "happy",  # gioia
    "neu": "neutral",
    "pau": "fearful",  # paura
    "rab": "angry",  # rabbia
    "sor": "surprised",  # sorpresa
    "tri": "sad",  # tristezza
}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/emovo of its repository
FOLDS = {"emobox": (("f2",), ("m3",), ("m2",), ("f3",), ("f1",), ("m1",))}

EXAMPLES = {
    "EMOVO/f2/gio-f2-b2.wav": Labels(
        clip_id="gio-f2-b2", speaker="f2", emotion="happy", gender="female", language="it"
    ),
    "m1/pau-m1-l1.wav": Labels(clip_id="pau-m1-l1", speaker="m1", emotion="fearful", gender="male", language="it"),
}

labels = Names(
    patterns=(r"(?P<emotion>[a-z]{3})-(?P<speaker>(?P<gender>[fm])[123])-[bdln]\d",),
    example="gio-f2-b2",
    emotions=EMOTIONS,
    genders={"f": "female", "m": "male"},
    gender="{gender}",
    language="it",
)
obtain = elsewhere("emovo", SOURCE)
