"""An architecture of one's own: trained on the synthetic corpus with the project's training function, no search.

    python examples/own_architecture.py

The architecture is the file examples/models/mean_gru.py. Here its folder is made known to this process alone. To
search over it, copy the file to ser_core/models/: then `ser search --model mean_gru --data demo` finds it.
"""

from pathlib import Path

import torch
from platformdirs import user_cache_path

from ser_core import models
from ser_core.architectures import default_config
from ser_core.corpora import load_corpus
from ser_core.features.store import feature_store
from ser_core.splits import make_split
from ser_core.training.run import train

models.__path__.append(str(Path(__file__).parent / "models"))


def main() -> None:
    """A few epochs, each with its score on the validation speakers."""
    torch.set_num_threads(1)  # a network this small gains nothing from more
    cache = user_cache_path("ser-search")
    config = default_config("mean_gru", {"optim.epochs": 6, "model.units": 24})
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=cache)
    split = make_split(manifest, "speaker", seed=0)
    store = feature_store(manifest, config.features, cache_dir=cache)

    training = train(config, split.search_fold(), store, device="cpu")
    for report in training:  # whoever has seen enough stops asking: that is all that early stopping is
        print(f"epoch {report.epoch}: loss {report.train_loss:.3f}, validation UAR {report.score('uar'):.1%}")


if __name__ == "__main__":
    main()
