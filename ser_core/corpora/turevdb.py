"""TurEV-DB, the Turkish emotional voice database.

1,735 clips of 6 speakers, 82 words, 4 emotions, 44.1 kHz WAV, in folders `Angry`, `Calm`, `Happy` and `Sad` below
`Sound Source`. A name is `speaker_emotion_word`, the emotion as two letters of its Turkish word.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = "Canpolat SF, Ormanoglu Z, Zeyrek D (2020). Turkish emotion voice database (TurEV-DB). Proc. SLTU-CCURL 2020"
LICENCE = "CC BY-NC-ND 4.0"
SYNTHETIC = False
SOURCE = "https://github.com/Xeonen/TurEV-DB"

EMOTIONS = {"Angry": "angry", "Calm": "calm", "Happy": "happy", "Sad": "sad"}

EXAMPLES = {
    "Sound Source/Calm/1984_sk_eger.wav": Labels(
        clip_id="1984_sk_eger", speaker="1984", emotion="calm", gender=None, language="tr"
    ),
    "Angry/1234_kz_dil.wav": Labels(clip_id="1234_kz_dil", speaker="1234", emotion="angry", gender=None, language="tr"),
}

labels = Names(
    patterns=(r"(?P<emotion>[A-Z][a-z]+)/(?P<speaker>\d{4})_(?:kz|sk|mt|hl)_\w+",),
    example="Calm/1984_sk_eger",
    emotions=EMOTIONS,
    language="tr",
)
obtain = elsewhere("turevdb", SOURCE)
