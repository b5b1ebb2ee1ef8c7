"""The corpus that docs/extend.md adds is one file, and all that the contract of corpora asks for holds for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import REPOSITORY

PROGRAM = """
import sys
from pathlib import Path

import ser_core.corpora as package

package.__path__.append(sys.argv[1])
for file in package.corpus_module("parlour").EXAMPLES:
    path = Path(sys.argv[2], file)
    path.parent.mkdir(parents=True, exist_ok=True)
    import numpy, soundfile
    soundfile.write(path, numpy.random.default_rng(len(file)).normal(0, 0.1, 4000), 16000)
manifest = package.load_corpus(sys.argv[2], skip_bad=False, classes=None, cache_dir=Path(sys.argv[1]))
said = package.corpus_module("parlour").EXAMPLES.values()
assert manifest.corpus == "parlour", manifest.corpus
assert [(c.clip_id, c.speaker, c.emotion, c.gender) for c in manifest.clips] == [
    (s.clip_id, s.speaker, s.emotion, s.gender) for s in said
]
assert manifest.column("language").tolist() == ["de", "en"]
"""


def test_the_page_s_corpus_is_one_file_that_is_found_and_read(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "extend.md").read_text(encoding="utf-8")
    found = re.search(
        r'^```python title="ser_core/corpora/parlour\.py"\n(.*?)^```', page, flags=re.MULTILINE | re.DOTALL
    )
    assert found is not None
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "parlour.py").write_text(found[1])
    arguments = [str(tmp_path / "modules"), str(tmp_path / "audio")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stderr
