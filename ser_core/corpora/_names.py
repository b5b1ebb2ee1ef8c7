"""What the path of a clip says, for corpora that write it there: a pattern, and what its codes stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from ser_core.corpora._scan import BadName, Labels


@dataclass(frozen=True, kw_only=True)
class Names:
    """Reads paths; call it with one, as a corpus module's `labels`.

    Attributes:
        patterns: regular expressions, one for each layout; each must match the end of a path, without its suffix, from
            the start of a name. Their groups: `speaker`, `emotion`, and any that the templates name.
        example: a path that is read, for messages.
        emotions: code of group `emotion` -> word; None for clips that are left out. A pattern without that group leaves
            the emotion to the corpus's table.
        clip_id, speaker: templates over the groups and `stem`, the file's name; a clip_id is unique in the corpus.
        genders: what template `gender` gives -> "female" or "male"; a corpus of one gender needs no template.
        gender: template; the speaker's name where a corpus lists genders by speaker.
        language: ISO 639-1 code.
        languages: speaker -> code, where not all speak the same.
        session: template.
        left_out: stems of files that are known to be spoilt.
        others: regular expression of paths that belong to the corpus but are no clips, such as whole dialogues.
    """

    patterns: tuple[str, ...]
    example: str
    emotions: Mapping[str, str | None]
    clip_id: str = "{stem}"
    speaker: str = "{speaker}"
    genders: Mapping[str, str] = field(default_factory=dict)
    gender: str = "{speaker}"
    language: str = ""
    languages: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    left_out: frozenset[str] = frozenset()
    others: str = ""

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(rf"(?:^|.*/)(?:{pattern})") for pattern in self.patterns)

    def __call__(self, file: PurePosixPath) -> Labels | None:
        """What the path says; None for a clip that is left out.

        Raises:
            BadName: a path that no pattern matches, or a code that stands for no emotion.
        """
        path = str(file.with_suffix(""))
        found = next((match for pattern in self._compiled if (match := pattern.fullmatch(path))), None)
        if found is None and self.others and re.fullmatch(rf"(?:^|.*/)(?:{self.others})", path):
            return None
        if found is None:
            raise BadName(f"not a name of this corpus: expected one such as {self.example}")
        groups = {name: text or "" for name, text in found.groupdict().items()} | {"stem": file.stem}
        if file.stem in self.left_out:
            return None
        emotion = ""
        if "emotion" in groups:
            if groups["emotion"] not in self.emotions:
                raise BadName(f"unknown emotion code {groups['emotion']!r}: expected {', '.join(self.emotions)}")
            word = self.emotions[groups["emotion"]]
            if word is None:
                return None
            emotion = word
        speaker = self.speaker.format_map(groups)
        groups["speaker"] = speaker
        return Labels(
            clip_id=self.clip_id.format_map(groups),
            speaker=speaker,
            emotion=emotion,
            gender=self.genders.get(self.gender.format_map(groups)),
            language=self.languages.get(speaker, self.language),
            session=self.session.format_map(groups),
        )
