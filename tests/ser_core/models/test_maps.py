"""A spectrogram and its time derivatives are channels of one image to the models that take maps."""

from __future__ import annotations

import itertools

import pytest
import torch

from ser_core.architectures import architecture, architectures, build_model, default_config
from ser_core.config import ENCODER_KINDS, ConfigError
from ser_core.modules.layers import as_maps

TAKES_MAPS = [
    name
    for name in architectures()
    if getattr(architecture(name), "TAKES_MAPS", False) and default_config(name).features.kind not in ENCODER_KINDS
]
"""Those whose maps are derivatives; the maps of an encoder are its layers."""


def test_each_map_becomes_a_channel_whole():
    bins = torch.tensor([[[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]]])  # one frame: three bins, then their derivatives
    assert as_maps(bins, 2).tolist() == [[[[1.0, 2.0, 3.0]], [[10.0, 20.0, 30.0]]]]


@pytest.mark.parametrize("name", TAKES_MAPS)
def test_a_derivative_costs_weights_of_the_first_filters_alone(name):
    sizes = [
        sum(weight.numel() for weight in build_model(config, frames=70, bins=40 * maps, classes=4).parameters())
        for maps, config in ((1 + deltas, default_config(name, {"features.deltas": deltas})) for deltas in (0, 1, 2))
    ]
    filters = 9 * default_config(name).model.width  # of 3 by 3, for one more input channel
    assert [later - sooner for sooner, later in itertools.pairwise(sizes)] == [filters, filters]


@pytest.mark.parametrize("name", TAKES_MAPS)
def test_a_map_with_too_few_bins_is_refused_however_many_there_are(name):
    with pytest.raises(ConfigError, match="bins"):
        build_model(default_config(name, {"features.deltas": 2}), frames=70, bins=3 * 15, classes=4)
