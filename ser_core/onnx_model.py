"""An exported model in ONNX Runtime, on speech of any length. Graphs that take samples need no PyTorch.

from ser_core.onnx_model import OnnxModel

OnnxModel("model.onnx").speech_probabilities(samples)  # what ser_core.predict gives for the same samples
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ser_core.config import ConfigError, FeatureConfig
from ser_core.errors import UserError
from ser_core.json_document import DocumentError, parse_object, typed
from ser_core.targets import DIMENSIONS, EMOTION, VOTES
from ser_core.windows import windowed_probabilities

SAMPLES, FEATURES = "samples", "features"
"""Names of the input of a graph."""
OUTPUTS: Mapping[str, str] = {EMOTION: "probabilities", VOTES: "probabilities", DIMENSIONS: "ratings"}
"""Kind of target -> name of the output."""


class OnnxModelError(UserError, RuntimeError):
    """A file that is no exported model, or a library that is missing."""


@dataclass(frozen=True, kw_only=True)
class _Metadata:
    """What `ser_core.export` writes beside the graph, as far as it is needed here."""

    classes: Sequence[str]
    settings: Mapping[str, float | int | str | bool]


class OnnxModel:
    """A file of `ser_core.export`, used as a `ser_core.artifact.Predictor` is.

    Attributes:
        classes: emotions, or dimensions, in the order of the output.
    """

    classes: tuple[str, ...]

    def __init__(self, path: str | Path) -> None:
        """Load the graph.

        Raises:
            OnnxModelError: ONNX Runtime is missing, or the file is not what `ser_core.export` writes.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise OnnxModelError("an exported model needs onnxruntime: pip install 'ser-search[onnx]'") from error
        if not Path(path).is_file():
            raise OnnxModelError(f"no such file: {path}")
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class for every kind of damage
            raise OnnxModelError(
                f"{path} is no ONNX file ({' '.join(str(error).split())[:200]}); export it anew"
            ) from error
        facts = self._session.get_modelmeta().custom_metadata_map
        inputs = [entry.name for entry in self._session.get_inputs()]
        try:
            if inputs not in ([SAMPLES], [FEATURES]):
                raise DocumentError(f"the graph takes {', '.join(inputs) or 'nothing'}")
            parts = [f'"{name}": {facts.get(name, "null")}' for name in ("classes", "settings")]
            known: _Metadata = typed(_Metadata, parse_object(f"{{{', '.join(parts)}}}"))
            own = {name.removeprefix("features."): value for name, value in known.settings.items()}
            self._features: FeatureConfig = typed(FeatureConfig, own)
        except (DocumentError, ConfigError) as error:
            raise OnnxModelError(f"{path} is no model that ser export wrote: {error}") from error
        self.classes, self._input = tuple(known.classes), inputs[0]

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples that are predicted."""
        return self._features.sample_rate_hz

    @property
    def clip_seconds(self) -> float:
        """What the graph hears of a clip, s."""
        return self._features.clip_seconds

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """Class probabilities, or ratings, (classes,) float32 of one crop of a clip, (samples,) at `sample_rate_hz`.

        Raises:
            ValueError: samples that are not one-dimensional, or none.
        """
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"samples must be one-dimensional, at least one; got the shape {samples.shape}")
        clip = samples.astype(np.float32, copy=False)
        if self._input == FEATURES:
            clip = self._extract(clip)
        (told,) = self._session.run(None, {self._input: clip})
        return np.asarray(told)

    def speech_probabilities(self, samples: np.ndarray) -> np.ndarray:
        """Class probabilities (classes,) of speech of any length; longer speech is windowed as `ser predict` does it.

        Raises:
            ValueError: see `probabilities`.
        """
        return windowed_probabilities(self, samples)

    @cached_property
    def _extract(self) -> Callable[[np.ndarray], np.ndarray]:
        """What makes features (frames, bins) float32 of a clip (samples,)."""
        from ser_core.features.normalisation import as_float
        from ser_core.features.transforms import extractor  # with PyTorch, which most graphs do without
        from ser_core.modules.pretrained import nothing_fetched

        with nothing_fetched():
            extract = extractor(self._features)
        return lambda clip: as_float(extract([clip])[0])
