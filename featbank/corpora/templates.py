"""Templates of paths: `clips/{path}` is filled with texts, and `{split}/{name}.wav` read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

from featbank.errors import ConfigError

_NAME = re.compile(r"[^\W\d]\w*")
_CUT = re.compile(r"(?:\.\d{1,4})?")


class Template:
    """A path below the root in which names in braces stand for texts.

    `{id:.4}` stands for the first four letters, where it is filled.

    Args:
        text: of the template.
        setting: that gives it, for errors: `corpus.audio_path`.

    Raises:
        ConfigError: its braces are none of `{name}` and `{name:.4}`.
    """

    def __init__(self, text: str, setting: str) -> None:
        self.text = text
        self._setting = setting
        self._pieces: list[tuple[str, str, str]] = []  # what stands before a name, it, its cut
        try:
            for before, name, cut, conversion in Formatter().parse(text):
                if name is not None and (
                    conversion or not _NAME.fullmatch(name) or not _CUT.fullmatch(cut or "")
                ):
                    raise ValueError(f"{{{name}}}")
                self._pieces.append((before, name or "", cut or ""))
        except ValueError as error:
            raise ConfigError(
                setting,
                expected="a path with names in braces: clips/{path}",
                got=f"{text}: {error}",
            ) from error
        self.fields = frozenset(name for _, name, _ in self._pieces if name)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the path with texts in the places of their names.

        >>> Template("{id:.4}/{id}.ogg", "").fill({"id": "20090112-0900"})
        '2009/20090112-0900.ogg'
        """
        return self.text.format_map(values)

    @property
    def folder(self) -> str:
        """The folders in front of the first name."""
        return self._pieces[0][0].rpartition("/")[0] if self._pieces else ""

    def pattern(self, *, any_case: bool = False) -> re.Pattern[str]:
        r"""Return a regular expression of the paths, with a group for each name but `_`.

        A name stands for one letter or more, none of which is `/`, and for the same wherever it is.

        >>> pattern = Template("wav/{split}/{_}/{name}.wav", "").pattern()
        >>> pattern.fullmatch("wav/dev/S1/x.wav").groupdict()
        {'split': 'dev', 'name': 'x'}

        Raises:
            ConfigError: a name is cut.
        """
        expression, met = "", set[str]()
        for before, name, cut in self._pieces:
            if cut:
                raise ConfigError(
                    self._setting, expected="whole names", got=f"{{{name}:{cut}}} in {self.text}"
                )
            expression += re.escape(before)
            if name in met:
                expression += f"(?P={name})"
            elif name:
                expression += "[^/]+" if name == "_" else f"(?P<{name}>[^/]+)"
                met |= {name} - {"_"}
        return re.compile(expression, re.IGNORECASE if any_case else 0)
