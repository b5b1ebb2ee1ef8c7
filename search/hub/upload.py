"""A model folder as a repository of a model hub: files, card, ONNX, and what transformers loads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, get_token

from search.finals.model_card import CARD_FILE, PICTURES, model_card, write_picture
from search.hub.consent import Consent, consent_to_share, licence_section
from search.run_folder.documents import read_result_file
from search.run_folder.paths import RESULT_FILE
from ser_core.artifact import CONFIG_FILE, ArtifactError, load_model
from ser_core.config import ENCODER_KINDS
from ser_core.ensemble import ENSEMBLE_FILE, member_folders, models_of
from ser_core.export import export_onnx, missing_packages
from ser_core.hub import HubError, check_name, on_hub, refuse
from ser_core.json_document import read_object
from ser_core.modules.encoder_families import NO_WEIGHTS
from ser_core.transformers_export import export_transformers

ONNX_FILE, TRANSFORMERS_FOLDER = "model.onnx", "transformers"
MODEL_FILES = (CONFIG_FILE, "model.safetensors", CARD_FILE, *PICTURES, "trained_on.txt")
"""What of a model folder is shared; evaluations of it on other data are not."""


@dataclass(frozen=True, kw_only=True)
class Push:
    """What is to be published.

    Attributes:
        model: a run folder, or the folder of a model or an ensemble.
        name: USER/NAME.
        private: of a new repository. onnx, transformers: further forms.
    """

    model: Path
    name: str
    private: bool
    onnx: bool
    transformers: bool


def push(
    asked: Push, accepted: str | None, *, confirm: Callable[[str], bool] | None, log: Callable[[str], None]
) -> str:
    """Publish a model; the address of its page.

    Args:
        accepted, confirm: see `consent_to_share`.
        log: gets a line on every form that cannot be had.

    Raises:
        ArtifactError: no model, or one that cannot be loaded.
        ConfigError: a licence that is not accepted.
        HubError: a wrong name, nobody logged in, a hub that cannot be reached or refuses.
    """
    check_name(asked.name)
    if on_hub(asked.model):
        raise HubError(f"{asked.model} is on the hub already; name a folder")
    if asked.onnx and (missing := missing_packages()):
        raise ArtifactError(f"ONNX needs {', '.join(missing)}: pip install 'ser-search[onnx]', or say --no-onnx")
    folder = models_of(asked.model)
    members = member_folders(folder)
    first = load_model(members[0])
    consent = consent_to_share(first.about, accepted, confirm)
    if get_token() is None:
        raise HubError("the hub does not know who you are: `hf auth login`, or set HF_TOKEN")
    with tempfile.TemporaryDirectory(prefix="ser-push-") as place:
        staged = Path(place)
        for member in members:
            own = staged if member == folder else staged / member.relative_to(folder)
            _stage(member, own, asked, consent, log)
        if members != [folder]:
            shutil.copy(folder / ENSEMBLE_FILE, staged)
            _stage_ensemble_card(folder, members[0], staged, consent)
        return _upload(staged, asked)


def _stage(member: Path, own: Path, asked: Push, consent: Consent, log: Callable[[str], None]) -> None:
    """One model as it is shared."""
    own.mkdir(parents=True, exist_ok=True)
    for name in MODEL_FILES:
        if (member / name).exists():
            shutil.copy(member / name, own)
    predictor = load_model(member)
    if (own / CARD_FILE).exists():
        _complete_card(own / CARD_FILE, consent, predictor.config.features)
    if asked.onnx:
        try:
            export_onnx(predictor, own / ONNX_FILE)
        except ArtifactError as error:
            log(f"{member.name}: not as ONNX, since {error}")
    if asked.transformers:
        try:
            said = export_transformers(predictor, own / TRANSFORMERS_FOLDER)
            log(f"{member.name}/{TRANSFORMERS_FOLDER}: {said}")
        except ArtifactError as error:
            log(f"{member.name}: not for transformers, since {error}")


def _stage_ensemble_card(folder: Path, member: Path, staged: Path, consent: Consent) -> None:
    """The card of an ensemble, which runs of earlier versions have not written."""
    if (folder / CARD_FILE).exists():
        for name in (CARD_FILE, *PICTURES):
            if (folder / name).exists():
                shutil.copy(folder / name, staged)
    elif (folder.parent / RESULT_FILE).exists():
        result = read_result_file(folder.parent)
        write_picture(staged, result)
        settings = load_model(member).config.params()  # under their present names
        card = model_card(result, {**read_object(member / CONFIG_FILE), "settings": settings}, None)
        (staged / CARD_FILE).write_text(card, encoding="utf-8")
    else:
        raise ArtifactError(
            f"{folder} holds no {CARD_FILE}, and no result beside it from which to write one; push a run"
        )
    _complete_card(staged / CARD_FILE, consent, load_model(member).config.features)


def _complete_card(path: Path, consent: Consent, features: Any) -> None:
    """What a card says of sharing, and what a hub wants to know, whichever version wrote it."""
    card = ModelCard.load(path)
    card.data.license, card.data.license_name = consent.terms.hub_name, consent.terms.own_name or None
    card.data.pipeline_tag = "audio-classification"
    if features.kind in ENCODER_KINDS and features.encoder != NO_WEIGHTS and not Path(features.encoder).exists():
        card.data.base_model = features.encoder  # a name on the hub; a folder of this machine concerns nobody
    card.text = f"{card.text.rstrip()}\n\n{licence_section(consent)}\n"
    card.save(path)


def _upload(staged: Path, asked: Push) -> str:
    """Make the repository and send the files in one commit; the address of its page."""
    with _refused(asked.name):
        api = HfApi()
        api.create_repo(asked.name, private=asked.private, exist_ok=True)
        api.upload_folder(repo_id=asked.name, folder_path=staged, commit_message="Model, card and metadata")
        return f"{api.endpoint}/{asked.name}"


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # huggingface_hub, its HTTP client and the system each raise their own
        refuse(f"{name} cannot be published", error, "try again where there is a network")
