"""Export a trained model to ONNX, checked against PyTorch, or to the layout of transformers.

    ser export MODEL --onnx FILE
    ser export MODEL --transformers FOLDER

The graph takes `samples`, any number of them, float32, at the model's sample rate, and gives the `probabilities` of all
classes, or the `ratings` of all dimensions. Where the features cannot be part of a graph (of a speech encoder, or with
silence trimmed) it takes `features` (frames, bins), not normalised, as `ser_core.features.transforms.extractor` gives
them. Classes, sample rate and settings are in the file's metadata. It hears one crop; `ser_core.onnx_model` windows
longer speech.
"""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import torch
import typer
from torch import Tensor, nn

from ser_core.artifact import ArtifactError, Predictor, load_model
from ser_core.config import ConfigError
from ser_core.ensemble import ENSEMBLE_FILE
from ser_core.features.normalisation import as_float
from ser_core.features.transforms import ClipFeatures, clip_frames, traceable_features
from ser_core.hub import HubError, fetched
from ser_core.modules.pretrained import PretrainedError
from ser_core.onnx_model import FEATURES, OUTPUTS, SAMPLES, OnnxModel
from ser_core.whole_file import replacing
from ser_core.windows import WHOLE_CLIPS, windowed_probabilities

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-4
"""Largest difference of any output between ONNX Runtime and PyTorch that is accepted, of ratings over their size."""


class ClipToOutputs(nn.Module):
    """A predictor as one module: features if any, normalisation, crop or padding, network, probabilities or ratings."""

    mean: Tensor
    scale: Tensor

    def __init__(self, predictor: Predictor, features: ClipFeatures | None) -> None:
        super().__init__()
        self.model, self._features = predictor.model.cpu().eval(), features
        self.meaning = predictor.meaning.cpu()
        self._view, self._centred = clip_frames(predictor.config.features), predictor.config.features.crop == "center"
        self.register_buffer("mean", torch.from_numpy(predictor.normalisation.mean))
        self.register_buffer("scale", torch.from_numpy(1 / predictor.normalisation.std))

    def forward(self, clip: Tensor) -> Tensor:
        """(samples,), or (frames, bins) without features in the graph -> (outputs,)."""
        frames = clip if self._features is None else self._features(clip)
        count = frames.shape[0]
        start = torch.sym_max((count - self._view) // 2, 0) if self._centred else 0
        index = start + torch.arange(self._view)  # (view,): the frame that each step shows
        inside = index < count
        seen = (frames[index.clamp(max=count - 1)] - self.mean) * self.scale * inside[:, None]  # (view, bins)
        outputs = self.model(seen[None], inside.sum()[None])
        told: Tensor = self.meaning(outputs.float())[0]
        return told


def export_onnx(predictor: Predictor, path: Path) -> float:
    """Write the ONNX file, whole or not at all.

    Returns:
        The largest difference of any output from PyTorch's, see `TOLERANCE`, over clips of several lengths.

    Raises:
        ArtifactError: the packages for it are missing, the network cannot be exported, the file does not say what the
            model says, or the model needs several clips of a speaker.
    """
    if predictor.transductive:
        raise ArtifactError(
            "this model normalises by all clips of a speaker, which a graph of one clip cannot do; train with "
            "features.normalisation=clip or corpus to export"
        )
    if missing := missing_packages():
        raise ArtifactError(f"exporting needs {', '.join(missing)}: pip install 'ser-search[onnx]'")
    import onnx

    with replacing(path) as temporary:
        module, example, least = _module_and_example(predictor)
        program = _program(module, example, least, OUTPUTS[predictor.target.kind])
        program.save(temporary)
        document = onnx.load(temporary)
        for key, value in _metadata(predictor).items():
            document.metadata_props.add(key=key, value=value)
        onnx.save(document, temporary)
        difference = largest_difference(predictor, temporary)
        if not difference <= TOLERANCE:
            raise ArtifactError(
                f"the exported graph differs from PyTorch by {difference:.2g} in an output, more than "
                f"{TOLERANCE:g}; nothing was written"
            )
    return difference


def missing_packages() -> list[str]:
    """What exporting needs and is not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def _module_and_example(predictor: Predictor) -> tuple[ClipToOutputs, Tensor, int]:
    """The module, an input for it, and the smallest length of its first dimension."""
    settings = predictor.config.features
    length = round(1.5 * settings.clip_seconds * settings.sample_rate_hz)
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=length).astype(np.float32))
    try:
        features = traceable_features(settings)
    except ConfigError:
        (frames,) = predictor.extract([samples.numpy()])
        return ClipToOutputs(predictor, None), torch.from_numpy(as_float(frames)), 1
    return ClipToOutputs(predictor, features), samples, round(settings.window_ms * settings.sample_rate_hz / 1000)


def _program(module: ClipToOutputs, example: Tensor, least: int, output: str) -> torch.onnx.ONNXProgram:
    any_length = {0: torch.export.Dim("length", min=max(2, least))}
    if example.shape[0] == 1:
        any_length = {}  # statistics over a clip are one frame, always
    name = SAMPLES if example.ndim == 1 else FEATURES
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module, (example,), dynamo=True, verbose=False, dynamic_shapes=(any_length,),
                input_names=[name], output_names=[output],
            )  # fmt: skip
    except Exception as error:  # torch.export and onnxscript have dozens of their own
        raise ArtifactError(f"this network cannot be exported: {' '.join(str(error).split())[:300]}") from error
    assert program is not None  # only the older exporter returns None
    return program


def _metadata(predictor: Predictor) -> dict[str, str]:
    return {
        "target": json.dumps(predictor.target.kind),
        "classes": json.dumps(list(predictor.classes)),
        "sample_rate_hz": str(predictor.config.features.sample_rate_hz),
        "longest_seconds": f"{longest_seconds(predictor):g}",
        "settings": json.dumps(predictor.config.params()),
        "about": json.dumps(predictor.about),
    }


def longest_seconds(predictor: Predictor) -> float:
    """Speech up to so long, s, gets the same from the graph as from `ser_core.predict`, which windows longer speech."""
    return WHOLE_CLIPS * predictor.clip_seconds


def largest_difference(predictor: Predictor, path: Path) -> float:
    """Largest difference of any output, see `TOLERANCE`, between the file in ONNX Runtime and `predictor`.

    Over six clips of which one crop is heard, and speech that is windowed.
    """
    exported = OnnxModel(path)
    settings, rng = predictor.config.features, np.random.default_rng(1)
    differences = []
    for share in (0.1, 0.5, 1.0, 1.3, 2.0, 3.0):
        length = round(share * settings.clip_seconds * settings.sample_rate_hz)
        loudness = np.abs(np.sin(np.arange(length) / 3_000))  # swells, as syllables do
        samples = (0.1 * loudness * rng.normal(size=length)).astype(np.float32)
        differences.append(np.abs(exported.probabilities(samples) - predictor.probabilities(samples)).max())
    windowed = exported.speech_probabilities(samples) - windowed_probabilities(predictor, samples)
    scale = max(1.0, float(np.abs(predictor.probabilities(samples)).max()))  # ratings may be of any size
    return float(np.max([*differences, np.abs(windowed).max()])) / scale


def export(
    model: Annotated[Path, typer.Argument(help="A model folder, or hf:USER/NAME.")],
    onnx: Annotated[Path | None, typer.Option(help="The ONNX file to write.", metavar="FILE")] = None,
    transformers: Annotated[
        Path | None, typer.Option(help="The folder to write in the layout of transformers.", metavar="FOLDER")
    ] = None,
) -> None:
    """Export MODEL to ONNX, or what transformers can load of it."""
    if onnx is None and transformers is None:
        _refuse("name a file with --onnx, or a folder with --transformers")
    try:
        folder = fetched(model)
        if any((each / ENSEMBLE_FILE).exists() for each in (folder, folder / "final")):
            _refuse(f"{model} holds an ensemble: export each of its models, and average what they give")
        predictor = load_model(folder)
        if onnx is not None:
            _report(onnx, export_onnx(predictor, onnx), predictor)
        if transformers is not None:
            from ser_core.transformers_export import export_transformers  # only this needs it

            typer.echo(f"{transformers}: {export_transformers(predictor, transformers)}")
    except (ArtifactError, PretrainedError, HubError) as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{onnx or transformers} cannot be written: {error.strerror}")


def _report(onnx: Path, difference: float, predictor: Predictor) -> None:
    typer.echo(f"{onnx}: {onnx.stat().st_size / 1e6:.1f} MB; largest difference from PyTorch {difference:.1e}")
    typer.echo(
        f"The graph hears one crop of {predictor.clip_seconds:g} s. ser_core.onnx_model.OnnxModel cuts speech longer "
        f"than {longest_seconds(predictor):g} s into windows, as ser predict does."
    )


def _refuse(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(export)


if __name__ == "__main__":
    app()
