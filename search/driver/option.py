"""What there is to know about one option of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin


class Kind(Enum):
    """What an option does to a run; from that follows what becomes of it when a run or a batch is resumed."""

    PLAN = "defines the run: a field of its plan by the same name"
    SPACE = "defines the run: its space and the settings that are fixed"
    EARLIER = "defines the run: configurations of an earlier one"
    BATCH = "defines how the runs of a batch hang together"
    LIMIT = "limits the run: a field of its plan's limits"
    EACH = "limits each run of a batch"
    PLACE = "says where things lie, which changes no result"
    CALL = "belongs to this call alone"

    @property
    def defines(self) -> bool:
        """True for what makes a run the one that it is, so that it cannot change when the run is resumed."""
        return self in (Kind.PLAN, Kind.SPACE, Kind.EARLIER, Kind.BATCH)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        kind: see `Kind`.
        panel: of `--help`. help: what it does.
        flag: as the command line spells it. off: of a switch, the flag of the opposite.
        default: the value that leaving it out stands for; None where that is decided later.
        means: what leaving it out means, in words; "" for `default`.
        least, above: bounds of a number, inclusive and exclusive.
        spelled: how a value is written. known: values that exist, for shell completion.
        searches: it means nothing where nothing is searched.
        extends: with more of it, a search that has ended goes on.
        own: every run of a batch has one of its own.
        again: it may be given again when a batch is resumed.
        secret: it may be a URL with a password.
    """

    kind: Kind
    panel: str
    help: str
    flag: str = ""
    off: str = ""
    default: Any = None
    means: str = ""
    least: float | None = None
    above: float | None = None
    spelled: str = ""
    known: tuple[str, ...] = ()
    searches: bool = False
    extends: bool = False
    own: bool = False
    again: bool = False
    secret: bool = False

    @property
    def meaning(self) -> str:
        """What leaving it out means; "" where that goes without saying."""
        return self.means or ("" if self.default is None or self.default is False else str(self.default))

    def problem(self, value: object) -> str:
        """What is wrong with the size of a value, or ""."""
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        if self.least is not None and not value >= self.least:
            return f"{self.flag} must be at least {self.least:g}; got {value}"
        if self.above is not None and not value > self.above:
            return f"{self.flag} must be above {self.above:g}; got {value}"
        return ""

    def words(self, value: Any) -> list[str]:
        """The option with a value, as words of a command line."""
        if isinstance(value, bool):
            return [self.flag if value else self.off]
        values = value if isinstance(value, list) else [value]
        return [word for each in values for word in (self.flag, str(each))]


def option(kind: Kind, panel: str, help: str, *, empty: Any = None, **about: Any) -> Any:
    """A dataclass field for an option that is `empty` when it is left out; `about`: see `Option`."""
    about.setdefault("again", not kind.defines)
    return field(default=empty, metadata={"option": Option(kind=kind, panel=panel, help=help, **about)})


def fits(field_type: Any, value: object) -> bool:
    """True for a value of a field's type; a path may be text, a real number whole, and True is no number."""
    if isinstance(value, list):
        return field_type == list[str] | None and all(isinstance(each, str) for each in value)
    wanted = {get_origin(kind) or kind for kind in get_args(field_type) or (field_type,)}
    wanted |= {str} if Path in wanted else set()
    wanted |= {int} if float in wanted else set()
    return type(value) in wanted or (Path in wanted and isinstance(value, Path))


def type_words(field_type: Any) -> str:
    """The types that a field may have, as a message names them."""
    wanted = {str(kind) if get_origin(kind) else kind.__name__ for kind in get_args(field_type) or (field_type,)}
    return " or ".join(sorted(wanted - {"NoneType"}))
