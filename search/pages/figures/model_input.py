"""What the winner is given: features of a validation clip per emotion, as they are and as training alters them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures import _insight
from search.pages.figures._insight import Axes, ClipPictures, Panel, clip_pictures, full_rows, grid, shades
from search.pages.figures._style import plain
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import clip_text, count, in_percent, percent

TITLE = "What the model is given, and what training makes of it"
SECTION, ORDER, WIDE = "Data and model", 30, True
EMPTY = _insight.EMPTY
ROW_PIXELS = 150
KINDS = {
    "log_mel": "log-mel frames",
    "kaldi_fbank": "a Kaldi filter bank",
    "mfcc": "cepstral coefficients",
    "mfcc_stats": "statistics of cepstral coefficients, which have no time axis",
    "functionals": "statistics over spectrum, voicing and pitch, of which some are drawn and which have no time axis",
    "egemaps": "openSMILE's eGeMAPS, of which some are drawn and which have no time axis",
    "compare": "openSMILE's ComParE 2016, of which some are drawn and which have no time axis",
    "encoder": "frames of a speech encoder, of whose units some are drawn",
    "encoder_layers": "frames of all layers of a speech encoder, of whose units some are drawn",
    "encoder_stats": "statistics of a speech encoder's layers, of which some are drawn and which have no time axis",
    "encoder_input": "what a speech encoder takes",
}

CHANGES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "speed_change": ("speed changed by {}", percent),
    "reverb_seconds": ("reverberation of up to {} s", "{:.2g}".format),
    "background_noise": ("background noise of up to {} of the clip's level", percent),
    "gain_db": ("a gain of up to {} dB", "{:.2g}".format),
    "freq_warp": ("the mel axis stretched by up to {}", percent),
    "tempo_change": ("the rate of speech changed by up to {}", percent),
}
"""Changes of samples and of spectrograms as wholes -> what is said of each, and how its size is."""


@dataclass(frozen=True, kw_only=True)
class ModelInputInfo:
    """A clip per emotion.

    Attributes:
        kind: of the features. unit: of their values, "" when they are not normalised.
        low, high: the values that the lightest and the darkest shade stand for.
        augment: the winner's settings of augmentation. altered: False when they leave every clip as it is.
    """

    kind: str
    unit: str
    low: float
    high: float
    axes: Axes
    clips: tuple[ClipPictures, ...]
    augment: Mapping[str, float]
    altered: bool


def info(run: RunView) -> ModelInputInfo | None:
    """The pictures of insight.json."""
    if run.insight is None:
        return None
    pictures = run.insight["pictures"]
    axes = Axes.of(pictures)
    return ModelInputInfo(
        axes=axes,
        clips=clip_pictures(pictures, axes),
        **{name: pictures[name] for name in ("kind", "unit", "low", "high", "augment", "altered")},
    )


def reading(info: ModelInputInfo) -> str:
    """What is drawn, and what training does to it."""
    shade = f"from {_number(info.low)} (faintest) to {_number(info.high)} {info.unit}".rstrip()
    what = KINDS.get(info.kind, info.kind)
    text = f"Validation clips, one of each emotion or over the range of ratings, as {what}, {shade}; "
    return text + (f"beside it one draw of {_alterations(info)}." if info.altered else "training leaves it as it is.")


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "\u2212")


def _alterations(info: ModelInputInfo) -> str:
    """The winner's augmentation in words; mixup is not drawn. Runs of earlier versions lack what there was not yet."""
    settings = info.augment
    words = [text.format(shown(settings[name])) for name, (text, shown) in CHANGES.items() if settings.get(name)]
    words += [
        f"{count(int(settings[masks]), f'{name} mask')} of up to {settings[widest]:g} {unit}"
        for name, masks, widest, unit in (
            ("frequency", "freq_masks", "freq_mask_bins", "bins"),
            ("time", "time_masks", "time_mask_frames", "frames"),
        )
        if settings[masks] and settings[widest]
    ]
    if settings["noise_std"]:
        words.append(f"noise of {settings['noise_std']:.2g} standard deviations")
    listed = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return listed + " (mixup is not drawn)" * bool(settings["mixup_alpha"])


def table(info: ModelInputInfo) -> list[dict[str, Value | None]]:
    """A row per clip: which ones are drawn, and how much of the drawn picture training has altered."""
    return [
        {
            "truth": clip.emotion,
            "clip_id": clip.clip_id,
            "speaker": clip.speaker,
            "altered_percent": in_percent(float((clip.features != clip.augmented).mean())),
        }
        for clip in info.clips
    ]


def figure(info: ModelInputInfo, *, narrow: bool = False) -> go.Figure:
    """Pairs of pictures, as given and as altered; single ones when nothing alters them."""
    panels: list[Panel] = []
    for clip in info.clips:
        name = plain(clip.emotion, 16)
        panels.append((name, [shades(clip.features, info.axes, name=f"{name}, clip {plain(clip_text(clip.clip_id))}")]))
        if info.altered:
            panels.append((f"{name}, altered", [shades(clip.augmented, info.axes, name=f"{name}, altered")]))
    columns = 2 if narrow else 4 if info.altered else full_rows(len(panels))
    return grid(panels, info.axes, columns=columns, row_pixels=ROW_PIXELS, narrow=narrow)
