"""CASIA, the Chinese emotional speech corpus: its published part.

1,200 clips of 4 speakers of Mandarin, 50 sentences, 6 emotions, 16 kHz WAV, in folders `speaker/emotion`. A name is
the number of the sentence.
"""

from __future__ import annotations

from ser_core.corpora._names import Names
from ser_core.corpora._scan import Labels
from ser_core.corpora._source import elsewhere

CITATION = "Institute of Automation, Chinese Academy of Sciences. CASIA Chinese emotional speech corpus."
LICENCE = "not stated with the corpus; ask its authors"
SYNTHETIC = False
SOURCE = "https://aistudio.baidu.com/aistudio/datasetdetail/209512"

EMOTIONS = {
    "angry": "angry",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprise": "surprised",
}

# Ma et al. 2024, "EmoBox", arXiv 2406.07162: test speakers of each fold, from data/casia of its repository
FOLDS = {"emobox": (("wangzhe",), ("zhaozuoxiang",), ("liuchanhg",), ("zhaoquanyin",))}

EXAMPLES = {
    "wangzhe/neutral/239.wav": Labels(
        clip_id="wangzhe-neutral-239", speaker="wangzhe", emotion="neutral", gender=None, language="zh"
    ),
    "casia/zhaoquanyin/sad/213.wav": Labels(
        clip_id="zhaoquanyin-sad-213", speaker="zhaoquanyin", emotion="sad", gender=None, language="zh"
    ),
}

labels = Names(
    patterns=(r"(?P<speaker>liuchanhg|wangzhe|zhaoquanyin|zhaozuoxiang)/(?P<emotion>[a-z]+)/(?P<sentence>\d+)",),
    example="wangzhe/neutral/239",
    emotions=EMOTIONS,
    clip_id="{speaker}-{emotion}-{sentence}",
    language="zh",
)
obtain = elsewhere("casia", SOURCE)
