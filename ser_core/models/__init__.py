"""Architectures, one module each, found by looking into this folder.

A module `ser_core/models/x.py` makes architecture `x`. It holds:

- `Config`: a frozen dataclass of `ser_core.config.setting` fields, validated in `__post_init__` with prefix "model";
- `DEFAULTS`: dotted name -> value, what this architecture changes of the general defaults (features, optimiser …);
- `build(config, *, frames, bins, classes) -> nn.Module`, where `config` is the module's own `Config`. The module's
  `forward(features, lengths)` takes features (batch, frames, bins) float and lengths (batch,) int64, the number of
  frames before padding, and returns logits (batch, classes). The module may have an attribute `explained_by`, the
  method of `ser_core.modules.explain` that shows where it looks; gradient times input stands in for one that has none;
- optionally `TAKES_MAPS = True`: `build` then also takes `maps`, how many maps of equal size lie side by side along the
  bins: a spectrogram and its time derivatives (`features.deltas`), or the layers of an encoder (kinds encoder_layers
  and encoder_stats);
- optionally `features_for(config, features) -> FeatureConfig`: where the model's settings decide about the features
  (an encoder whose lower layers are frozen stores their output);
- optionally `takes_raw_features(config) -> bool`: True where features must not be normalised per bin;
- optionally `least_frames(config) -> int | None`: where padding changes nothing of what the model says, the fewest
  frames that it takes, so that batches of short clips can be cut (`optim.bucketing`);
- optionally `TRAINING_ONLY`: fields of `Config` that change neither what the weights mean nor which there are, such as
  `("dropout",)`. A model that begins with the weights of another shares all other fields with it, and all weights but
  those of `head`, which is the classifier and new where the classes are others;
- optionally, as methods of the module: `learning_rate_scale(name) -> float`, the learning rate of a parameter as a
  share of `optim.learning_rate`, and `begin_epoch(epoch)`, called before each epoch is trained. Parameters that need no
  gradient are frozen: checkpoints and model folders do not hold them, `build` must bring them;
- with a `begin_epoch` that leaves something out at first, `FROM_START`: the settings (dotted name -> value) under which
  the first epoch trains all that any epoch does. What a trial needs of a GPU is measured with them;
- optionally `READS`, of an architecture whose module is fitted by a solver and not by gradient steps
  (`ser_core.training.at_once.FitsItself`): the settings of optimiser, augmentation and precision that it reads. All
  others of these stay at their defaults, and asking for another value is an error;
- optionally `kind_of_weights(config) -> str`: which of several kinds of initial weights the model's settings name, ""
  for the usual one. Its file in `spaces/` may have other knobs and recipes for each kind;
- optionally `without_pretrained(config)`: its `Config` for the same module with nothing fetched, for saved weights;
- `PRECISION`: "bf16" where training gains from bf16 autocast on hardware that computes in it (GPUs since Ampere, CPUs
  with AVX512-BF16 or AMX), else "fp32". It decides what `precision=auto` means there; on other CPUs, where bf16 is
  emulated at a tenth of the speed, auto is fp32 for every architecture;
- `CHANNELS_LAST`: True where the channels-last memory format makes convolutions faster;
- `CITATION`: the paper.

Modules whose names begin with an underscore hold what several architectures share.
"""
