"""Every setting as it is when nothing is said of it, of an architecture or of several."""

from __future__ import annotations

from collections.abc import Sequence

from ser_core.architectures import default_settings
from spaces.knobs import Value
from spaces.several import merged


def settings_of(model: str, choices: Sequence[str]) -> dict[str, Value]:
    """Those of `model`, or of all the `choices` under qualified names.

    Raises:
        ConfigError: unknown architecture.
    """
    return merged({name: default_settings(name) for name in choices}) if choices else default_settings(model)
