"""AESDD, the Acted Emotional Speech Dynamic Database.

604 clips of Greek actors, 5 emotions, 44.1 kHz WAV, in folders `anger` to `sadness`. A name is the initial of the
emotion, the utterance, and the speaker in brackets. `s05 (3)` is usually left out.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = (
    "Vryzas N, Kotsakis R, Liatsou A, Dimoulas CA, Kalliris G (2018). Speech emotion recognition for performance "
    "interaction. Journal of the Audio Engineering Society 66(6), 457-467. https://doi.org/10.17743/jaes.2018.0036"
)
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/"

EMOTIONS = {"a": "angry", "d": "disgust", "f": "fearful", "h": "happy", "s": "sad"}

EXAMPLES = {
    "anger/a03 (3).wav": Labels(clip_id="a03 (3)", speaker="3", emotion="angry", gender=None, language="el"),
    "sadness/s01 (5)b.wav": Labels(clip_id="s01 (5)b", speaker="5", emotion="sad", gender=None, language="el"),
}

labels = Names(
    patterns=(r"(?P<emotion>[a-z])\d\d ?\((?P<speaker>\d+)\)[ab]?",),
    example="a03 (3)",
    emotions=EMOTIONS,
    language="el",
    left_out=frozenset(("s05 (3)",)),
)
obtain = elsewhere("aesdd", SOURCE)
