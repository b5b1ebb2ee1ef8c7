"""Parts of the pages that are made from the code when the pages are built, so that they cannot disagree with it.

A hook of MkDocs: where a page has a line `<!-- generated: NAME -->`, the function NAME of `PARTS` puts its text there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from search.driver.option import Kind
from search.driver.options import OPTIONS
from search.pages.figures import figure_modules
from ser_core.architectures import architecture, architectures, default_config
from ser_core.corpora import corpora, corpus_module
from ser_core.corpora._columns import NAMES
from spaces import space_for
from spaces.knobs import Choice, Knob

REPOSITORY = Path(__file__).resolve().parents[1]
_MARK = re.compile(r"^<!-- generated: ([a-z_]+) -->$", flags=re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs asks for every page.

    Raises:
        KeyError: a mark that names no part.
    """
    return _MARK.sub(lambda match: PARTS[match[1]](), markdown)


def options() -> str:
    """A table of the options of `ser search` for each group of its help."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for about in OPTIONS.values():
        names = ", ".join(f"`{flag} {about.spelled}`".replace(" `", "`") for flag in (about.flag, about.off) if flag)
        resumed = "as the run has it" if about.kind.defines else "" if about.kind is Kind.CALL else "may change"
        groups.setdefault(about.panel, []).append((names, about.help, about.meaning, resumed))
    head = ("option", "meaning", "default", "with `--resume`")
    return "\n\n".join(f"## {panel}\n\n{_table(head, rows)}" for panel, rows in groups.items())


def settings() -> str:
    """Every setting that all architectures share, with type, bounds and default."""
    config = default_config(architectures()[0])
    parts = {"": config, "features.": config.features, "optim.": config.optim, "augment.": config.augment}
    defaults = {
        "features.": type(config.features)(),
        "optim.": type(config.optim)(),
        "augment.": type(config.augment)(),
    }
    return _settings_table(
        (prefix, field, getattr(defaults.get(prefix, part), field.name))
        for prefix, part in parts.items()
        for field in fields(part)
        if "help" in field.metadata
    )


def models() -> str:
    """Of every architecture: its source, its own settings, and where it departs from the general defaults."""
    return "\n\n".join(_model(name) for name in architectures())


def _model(name: str) -> str:
    module = architecture(name)
    own = module.Config()
    changed = [(f"`{setting}`", f"`{value}`") for setting, value in module.DEFAULTS.items()]
    return "\n\n".join(
        [
            f"### {name}",
            f"{module.CITATION}",
            _settings_table(("model.", field, getattr(own, field.name)) for field in fields(own)),
            "Defaults that differ from the general ones:",
            _table(("setting", "value"), changed),
        ]
    )


def spaces() -> str:
    """The knobs of every architecture, with the values of its first configurations."""
    return "\n\n".join(f"### {name}\n\n{_space(name)}" for name in architectures())


def _space(name: str) -> str:
    space = space_for(name)
    rows = []
    for knob_name, knob in space.knobs.items():
        first = dict.fromkeys(f"{params[knob_name]}" for params in space.first if knob_name in params)
        rows.append((f"`{knob_name}`", _range(knob), ", ".join(first) or "drawn"))
    return _table(("knob", "range", "tried first"), rows)


def corpora_known() -> str:
    """Every corpus that is known by name: what it is, its languages and licence, where it is, and whom to cite."""
    modules = {name: corpus_module(name) for name in corpora()}
    rows = [(f"`{name}`", _title(module), _languages(module), module.LICENCE) for name, module in modules.items()]
    cited = "\n".join(f"- `{name}`, from <{module.SOURCE}>: {module.CITATION}" for name, module in modules.items())
    table = _table(("corpus", "what it is", "languages", "licence"), rows)
    return f"{table}\n\nWhere they are, and whom to cite:\n\n{cited}"


def emobox_folds() -> str:
    """Of every corpus with folds of EmoBox: how many, and the speakers that each tests."""
    folds = {name: getattr(corpus_module(name), "FOLDS", {}).get("emobox", ()) for name in corpora()}
    rows = [
        (f"`{name}`", f"{len(own)}", "; ".join(", ".join(speakers) for speakers in own))
        for name, own in folds.items()
        if own
    ]
    return _table(("corpus", "folds", "test speakers"), rows)


def _title(module: Any) -> str:
    """The first line of a module's docstring, without its full stop."""
    return str(module.__doc__).partition("\n")[0].rstrip(".")


def _languages(module: Any) -> str:
    return ", ".join(sorted({said.language for said in module.EXAMPLES.values() if said.language})) or "none"


def columns() -> str:
    """The columns of a manifest, each with all names under which it is read."""
    rows = ((f"`{ours}`", ", ".join(f"`{name}`" for name in names if name != ours)) for ours, names in NAMES.items())
    return _table(("column", "other names"), rows)


def figures() -> str:
    """The titles of all figures by section, in the order of the page."""
    titles: dict[str, list[str]] = {}
    for module in figure_modules():
        titles.setdefault(module.SECTION, []).append(f"- {module.TITLE}")
    return "\n\n".join(f"### {section}\n\n" + "\n".join(lines) for section, lines in titles.items())


def readme() -> str:
    """The README, whose links start at the repository's root."""
    return _from_docs((REPOSITORY / "README.md").read_text(encoding="utf-8"))


def contributing() -> str:
    """CONTRIBUTING.md."""
    return _from_docs((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def changelog() -> str:
    """CHANGELOG.md."""
    return _from_docs((REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"))


PARTS: Mapping[str, Callable[[], str]] = {
    part.__name__: part
    for part in (
        options,
        settings,
        models,
        spaces,
        corpora_known,
        emobox_folds,
        columns,
        figures,
        readme,
        contributing,
        changelog,
    )
}


def _from_docs(text: str) -> str:
    """Links of a file in the repository's root, as a page of docs/ has them."""
    pages = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
    for file, page in pages.items():
        text = text.replace(f"]({file}", f"]({page}")
    text = re.sub(r"\]\(examples/[a-z_.]*\)", "](examples.md)", text)
    return text.replace("](docs/", "](").replace("[MIT licence](LICENSE)", "MIT licence")


def _settings_table(found: Iterable[tuple[str, Any, Any]]) -> str:
    rows = []
    for prefix, field, default in found:
        low, high, choices = (field.metadata[key] for key in ("low", "high", "choices"))
        bounds = ", ".join(map(str, choices)) if choices else "" if low is None else f"{low:g} to {high:g}"
        rows.append((f"`{prefix}{field.name}`", field.metadata["help"], bounds, f"`{default}`"))
    return _table(("setting", "meaning", "bounds", "default"), rows)


def _range(knob: Knob) -> str:
    if isinstance(knob, Choice):
        text = ", ".join(map(str, knob.values))
    else:
        text = f"{knob.low:g} to {knob.high:g}{', log scale' if knob.log else ''}"
    return text if knob.when is None else f"{text}; if `{knob.when.name}` is {', '.join(map(str, knob.when.values))}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown; a bar in a cell would end it."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )
