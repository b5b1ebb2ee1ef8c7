"""Use a model folder on audio files, or on a stream of samples.

    python -m ser_core.predict MODEL clip.wav more/ [--json | --csv]
    arecord -q -f S16_LE -r 16000 -c 1 | python -m ser_core.predict MODEL --stream

Files may have any rate and any number of channels. One that cannot be read is named on standard error, the rest goes
on, and the exit code is 1; it is 2 when nothing could be done at all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import numpy as np
import torch
import typer

from ser_core.artifact import ArtifactError, Predictor
from ser_core.ensemble import EnsemblePredictor, load_predictor, models_of
from ser_core.features.audio import AudioError, read_audio, resampled
from ser_core.hub import HubError
from ser_core.last_seconds import LastSeconds
from ser_core.modules.pretrained import PretrainedError
from ser_core.printer import Form, Printer
from ser_core.windows import windowed_probabilities

AUDIO_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf"}
"""What is looked for in a folder; a file that is named itself may have any."""


AnyPredictor = Predictor | EnsemblePredictor


def speech_probabilities(predictor: AnyPredictor, samples: np.ndarray) -> np.ndarray:
    """Class probabilities (classes,) of speech of any length, see `ser_core.windows.windowed_probabilities`.

    Each member of an ensemble has windows of its own.
    """
    if isinstance(predictor, EnsemblePredictor):
        return predictor.mean_of(lambda member: speech_probabilities(member, samples))
    return windowed_probabilities(predictor, samples)


def audio_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files named, and the audio files below the folders named, in order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
        else:
            yield path


def predict_files(predictor: AnyPredictor, paths: Iterable[Path], printer: Printer) -> tuple[int, int]:
    """Predict every file; those that cannot be read are named on standard error.

    Returns:
        Files predicted, files that could not be read.
    """
    done = failed = 0
    for path in paths:
        try:
            samples = read_audio(path, predictor.sample_rate_hz)
        except AudioError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
            continue
        printer(str(path), speech_probabilities(predictor, samples))
        done += 1
    return done, failed


def predict_speaker(predictor: AnyPredictor, paths: Iterable[Path], printer: Printer) -> tuple[int, int]:
    """Predict every file as one clip, all of them of the same speaker; see `predict_files`.

    Raises:
        ArtifactError: a model that normalises by all clips of a speaker, and one clip.
    """
    read: dict[Path, np.ndarray] = {}
    failed = 0
    for path in paths:
        try:
            read[path] = read_audio(path, predictor.sample_rate_hz)
        except AudioError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
    if predictor.transductive and len(read) == 1:
        raise ArtifactError(
            f"this model normalises by all clips of a speaker: --one-speaker needs two or more that can be read; got "
            f"{next(iter(read))} alone"
        )
    if read:
        for path, probabilities in zip(read, predictor.speaker_probabilities(list(read.values())), strict=True):
            printer(str(path), probabilities)
    return len(read), failed


def predict_stream(
    predictor: AnyPredictor, blocks: Iterable[np.ndarray], rate_hz: int, printer: Printer
) -> Iterator[float]:
    """Predict the last `clip_seconds` of a stream after every block of it.

    Args:
        blocks: (samples,) float32 each, full scale 1, at `rate_hz`; one prediction is printed per block.

    Yields:
        The time from having a block to having printed its prediction, s.
    """
    stream = LastSeconds(predictor.clip_seconds, rate_hz)
    for block in blocks:
        began = time.perf_counter()
        window = stream.after(block)
        own = None if window is None else resampled(window, rate_hz, predictor.sample_rate_hz)
        printer(stream.seconds, None if own is None else predictor.probabilities(own))
        yield time.perf_counter() - began


def pcm_blocks(stream: BinaryIO, samples: int) -> Iterator[np.ndarray]:
    """16-bit little-endian mono PCM in blocks of (samples,) float32; what remains at the end is a shorter block."""
    while len(data := stream.read(2 * samples)) > 1:  # a single byte is half a sample, at the end
        yield np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2").astype(np.float32) / 32_768


def microphone_blocks(rate_hz: int, samples: int) -> Iterator[np.ndarray]:
    """The default microphone in blocks of (samples,) float32, until Ctrl-C.

    Raises:
        ArtifactError: sounddevice or its PortAudio library is missing, or there is no microphone.
    """
    try:
        import sounddevice

        opened = sounddevice.InputStream(samplerate=rate_hz, channels=1, dtype="float32", blocksize=samples)
    except (ImportError, OSError) as error:
        raise ArtifactError(
            f"the microphone needs sounddevice and PortAudio ({error}): pip install 'ser-search[microphone]', "
            f"apt-get install libportaudio2; or pipe samples in with --stream"
        ) from error
    except Exception as error:  # sounddevice.PortAudioError, which cannot be named without the import
        raise ArtifactError(f"no microphone can be opened: {error}; or pipe samples in with --stream") from error
    with opened:
        while True:
            block, _ = opened.read(samples)
            yield block[:, 0].copy()


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder, for the mean of its seeds; one of its models, runs/NAME/final/trial-…; hf:USER/NAME."
        ),
    ],
    audio: Annotated[list[Path] | None, typer.Argument(help="Audio files, and folders with audio files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV with the probability of every class, or all ratings.")
    ] = False,
    one_speaker: Annotated[
        bool,
        typer.Option(
            "--one-speaker", help="AUDIO is all of one speaker: for models that normalise by all clips of a speaker."
        ),
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read 16-bit little-endian mono PCM from standard input.")
    ] = False,
    microphone: Annotated[bool, typer.Option("--microphone", help="Listen to the microphone until Ctrl-C.")] = False,
    rate: Annotated[
        int | None, typer.Option(help="Sample rate of --stream and --microphone, Hz. \\[default: the model's]", min=1)
    ] = None,
    hop: Annotated[float, typer.Option(help="Seconds from one prediction of a stream to the next.", min=0.01)] = 0.5,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
) -> None:
    """Predict the emotion in AUDIO with MODEL."""
    if sum([bool(audio), stream, microphone]) != 1:
        _refuse("give audio files or folders, or --stream, or --microphone: one of the three")
    if one_speaker and not audio:
        _refuse("--one-speaker takes audio files or folders, all of one speaker")
    if as_json and as_csv:
        _refuse("--json and --csv exclude each other")
    form = Form.JSON if as_json else Form.CSV if as_csv else Form.TEXT
    try:
        check_device(device)
        predictor = load_predictor(models_of(model), device=device)
        if predictor.transductive and not one_speaker:
            _refuse(
                "this model normalises by all clips of a speaker: name several files of one speaker and say "
                "--one-speaker; it cannot follow a stream"
            )
        if predictor.synthetic:
            print("The model was trained on a synthetic corpus: what it says of speech means nothing.", file=sys.stderr)
        if audio:
            printer = Printer(form, predictor.target, "path", sys.stdout)
            raise typer.Exit(_run_files(predictor, audio, printer, predict_speaker if one_speaker else predict_files))
        rate_hz = rate or predictor.sample_rate_hz
        samples = max(1, round(hop * rate_hz))
        blocks = pcm_blocks(sys.stdin.buffer, samples) if stream else microphone_blocks(rate_hz, samples)
        for _ in predict_stream(predictor, blocks, rate_hz, Printer(form, predictor.target, "seconds", sys.stdout)):
            pass
    except (ArtifactError, PretrainedError, HubError) as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def check_device(text: str) -> None:
    """Refuse what is no device of this machine.

    Raises:
        ArtifactError: neither cpu nor one of its GPUs.
    """
    count = torch.cuda.device_count()  # 0 without a driver
    if text not in ("cpu", *["cuda"][:count], *(f"cuda:{index}" for index in range(count))):
        raise ArtifactError(
            f"--device must be cpu, cuda or cuda:N; this machine has {count} GPUs that PyTorch can use; got {text}"
        )


def _run_files(
    predictor: AnyPredictor,
    audio: list[Path],
    printer: Printer,
    predict_all: Callable[[AnyPredictor, Iterable[Path], Printer], tuple[int, int]],
) -> int:
    """The exit code."""
    done, failed = predict_all(predictor, audio_files(audio), printer)
    if not done and not failed:
        _refuse(f"no audio file in {', '.join(map(str, audio))}; looked for {', '.join(sorted(AUDIO_SUFFIXES))}")
    if not failed:
        return 0
    return 1 if done else 2


def _refuse(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(predict)


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
