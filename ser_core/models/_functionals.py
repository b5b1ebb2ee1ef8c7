"""What models of one vector of functionals per clip share: which vector, and that nothing of it is augmented."""

from __future__ import annotations

from ser_core.settings import Value

FUNCTIONALS: dict[str, Value] = {
    # UAR of mlp on inner validation speakers of RAVDESS: 57.3, where the best of 60 configurations on mfcc_stats has
    # 47.2 (benchmarks/truth/mlp-ravdess.jsonl). 64 bins and 40 cepstra cost two points.
    "features.kind": "functionals",
    "features.n_mels": 26,
    "features.n_mfcc": 13,
    # A clip is one vector: there is no time to mask or shift, and neighbouring bins are not neighbouring frequencies.
    "augment.freq_masks": 0,
    "augment.time_masks": 0,
    "augment.time_shift_seconds": 0.0,
}
