"""Where things lie, as plans and batches keep it: found from anywhere, and without passwords."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from search.driver.options import OPTIONS
from search.run_folder.plan import SearchPlan
from search.study.storage import absolute_storage, without_password
from ser_core.corpora import corpora, named_corpus
from ser_core.several_corpora import named_corpora


def kept_storage(text: str) -> str:
    """A storage as a plan keeps it: found from anywhere, and without a password."""
    return without_password(absolute_storage(text, OPTIONS["storage"].flag))


def shown_location(text: str) -> str:
    """A storage, followed or not by #NAME of a study, without its password."""
    location, mark, name = text.partition("#")
    return without_password(location) + mark + name


def absolute_data(data: str) -> str:
    """Paths in a plan hold wherever the run is resumed from."""

    def absolute(each: str) -> str:
        name, text = named_corpus(each)
        path = Path(text).expanduser()
        if each in corpora() or not path.exists():
            return each
        return f"{name}:{path.resolve()}" if name else str(path.resolve())

    return ",".join(map(absolute, named_corpora(data))) if data else data


def default_folder(plan: SearchPlan) -> Path:
    """Where a run lies when --run-dir does not say."""
    split = plan.split.replace(":", "")
    return Path("runs") / f"{plan.model}-{plan.corpus.name}-{split}-{datetime.now():%Y%m%d-%H%M%S}"
