"""Archives that would do harm are refused before a byte is written."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from ser_core.clips import CorpusError
from ser_core.corpora import _archive

GOOD = "Actor_01/03-01-03-01-01-01-01.wav"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "speech.zip"


def write_zip(archive: Path, *names: str, link: bool = False) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            info = zipfile.ZipInfo(name)
            if link:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, b"content of " + name.encode())


def nothing_left(tmp_path: Path) -> bool:
    """True when the test's folder holds no audio and no half-made folder."""
    return not [path for path in tmp_path.rglob("*") if path.suffix == ".wav" or path.name.startswith(".unpacking")]


@pytest.mark.parametrize(
    "name", ["../evil.wav", "a/../../evil.wav", "/tmp/evil.wav", "..\\evil.wav", "C:\\evil.wav", "C:evil.wav"]
)
def test_paths_out_of_the_folder(tmp_path: Path, archive: Path, load, name: str) -> None:
    write_zip(archive, GOOD, name)
    with pytest.raises(CorpusError, match=r"evil.wav' points outside the archive"):
        load(archive)
    assert nothing_left(tmp_path)


def test_links(tmp_path: Path, archive: Path, load) -> None:
    write_zip(archive, GOOD, link=True)
    with pytest.raises(CorpusError, match="is a link"):
        load(archive)
    assert nothing_left(tmp_path)


def test_bombs(tmp_path: Path, archive: Path, load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "MAX_UNPACKED_BYTES", 10)
    write_zip(archive, GOOD)
    with pytest.raises(CorpusError, match="would unpack to"):
        load(archive)
    assert nothing_left(tmp_path)


def test_encrypted(archive: Path, load) -> None:
    write_zip(archive, GOOD)
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(CorpusError, match="is encrypted: decrypt the archive first"):
        load(archive)


def test_no_audio(archive: Path, load) -> None:
    write_zip(archive, "readme.txt", "__MACOSX/Actor_01/._x.wav")
    with pytest.raises(CorpusError, match=r"holds no .wav or .flac file"):
        load(archive)


def test_damaged_content(tmp_path: Path, archive: Path, load) -> None:
    write_zip(archive, GOOD)
    content = bytearray(archive.read_bytes())
    content[30 + len(GOOD) + 4] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(CorpusError, match=r"not a whole zip archive .*download it again"):
        load(archive)
    assert nothing_left(tmp_path)


def test_half_a_zip(archive: Path, load) -> None:
    write_zip(archive, GOOD)
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(CorpusError, match="not a whole zip archive"):
        load(archive)
