"""What a run's features will take, as far as it is known before any is computed."""

from __future__ import annotations

from pathlib import Path

from search.driver.space import early_features
from search.run_folder.plan import SearchPlan
from search.wording import bytes_text, count
from ser_core.clips import Manifest
from ser_core.config import ENCODER_KINDS
from ser_core.features.cache import stores_folder
from ser_core.features.cache_room import cached_bytes, default_limit
from ser_core.features.derivation import base_settings
from ser_core.features.size import expected_bytes, is_left_in_files, mean_seconds
from ser_core.features.transforms import settings_key
from ser_core.modules.encoder_families import FAMILIES, NO_WEIGHTS, encoder_facts


def feature_facts(
    plan: SearchPlan,
    manifest: Manifest,
    cache_dir: Path,
    limit_bytes: int | None,
    sample_limit_bytes: int | None = None,
) -> str:
    """Kinds and size of the features that are computed before the search, for a dry run."""
    early = early_features(plan.model, plan.knobs, plan.settings)
    kinds = count(len(early), "kind") + " computed before the search" if early else "made as trials ask for them"
    bases = {settings_key(base): base for base in map(base_settings, early.values())}
    seconds = mean_seconds(manifest.clips)
    sizes = [expected_bytes(each, len(manifest.clips), seconds) for each in {**bases, **early}.values()]
    known = [size for size in sizes if size is not None]
    most = default_limit(cache_dir) if limit_bytes is None else limit_bytes
    most = most if sample_limit_bytes is None else sample_limit_bytes
    if any(is_left_in_files(each, manifest.clips, most) for each in early.values()):
        wanted = f"a store of samples would take about {bytes_text(sum(known))}, more than {bytes_text(most)}"
        return f"{wanted}: trials read the audio files each time"
    size = f", about {bytes_text(sum(known))}" if known else ""
    more = " or more" if known and len(known) < len(sizes) else ""
    return f"{kinds}{size}{more}; {cache_facts(cache_dir, limit_bytes)}"


def encoder_facts_text(plan: SearchPlan) -> str:
    """The speech encoders that a run works with, as their configurations describe them; "" for a run without one.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    early = early_features(plan.model, plan.knobs, plan.settings).values()
    names = dict.fromkeys(each.encoder for each in early if each.kind in ENCODER_KINDS)
    return "; ".join(map(_described, names))


def _described(name: str) -> str:
    facts = encoder_facts(name)
    what = f"{FAMILIES[facts.family]}{' with random weights' if name == NO_WEIGHTS else ''}"
    layers, rate = count(facts.layers, "layer"), f"{facts.sample_rate_hz:,} Hz"
    return f"{what}, {layers} of {facts.hidden:,} units, a frame every {1000 * facts.frame_seconds:g} ms, {rate}"


def cache_facts(cache_dir: Path, limit_bytes: int | None) -> str:
    """What the features in the cache take, and what they may take."""
    limit = default_limit(cache_dir) if limit_bytes is None else limit_bytes
    return f"{bytes_text(cached_bytes(cache_dir))} of at most {bytes_text(limit)} in {stores_folder(cache_dir)}"
