"""Corpus layout of a folder tree whose paths say what the files are, with text beside them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.base.terms import TERMS
from featbank.corpora.base import Corpus, CorpusRow, Found, Present, bad_row
from featbank.corpora.layouts.cells import check_utf8, text_lines
from featbank.corpora.links import Links
from featbank.corpora.paths import check_name, stem, walk_audio
from featbank.corpora.templates import Template
from featbank.errors import AudioError, ConfigError, CorpusError
from featbank.files.remote import AnyPath, RemoteError, is_there, map_any, read_any

_log = logging.getLogger(__name__)

_MEANINGS = frozenset(["speaker", "language", "split", "part", *TERMS])
_MAX_TEXT = 1 << 20  # bytes of a file that is one text


class TreeCorpus(Corpus):
    """Reads each audio file whose path has a form such as `wav/{split}/{speaker}/{name}.wav`.

    The others below the first folder of that form are `unlisted`.

    Args:
        paths: form of the paths of audio. `{speaker}`, `{language}`, `{split}`, `{part}`,
            `{license}` and `{consent}` say what a file is; any other name is for `text_path`,
            `{name}` for `transcripts`, and `{_}` means nothing.
        text_path: the file with the text of an audio file, made of the names in `paths`:
            `txt/{speaker}/{name}.txt`. Empty where there is none.
        transcripts: a file with a line for each, its `{name}`, white space and its text, which is
            held in memory. Empty where there is none.
        need_text: whether an audio file without a text is a failure; its text is empty otherwise.
        arguments: as of `Corpus`.
    """

    version = 1

    def __init__(
        self,
        *,
        paths: str,
        text_path: str = "",
        transcripts: str = "",
        need_text: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        template = Template(paths, "corpus.paths")
        self.folder = template.folder
        self.pattern = template.pattern()
        self.text_path = Template(text_path, "corpus.text_path") if text_path else None
        self.transcripts = transcripts
        self.need_text = need_text
        if text_path and transcripts:
            raise ConfigError(
                "corpus.text_path and corpus.transcripts", expected="one of them", got="both"
            )
        wanted = (self.text_path.fields if self.text_path else set()) | (
            {"name"} if transcripts else set()
        )
        if absent := sorted(wanted - (template.fields - {"_"})):
            raise ConfigError(
                "corpus.paths", expected=f"{{{absent[0]}}}, which finds the text", got=repr(paths)
            )

    def read(self, links: Links) -> Iterator[Found]:
        """Walk the tree; files of another form are no utterances."""
        if not is_there(self.root / self.folder):
            raise CorpusError(
                f"folder {self.folder} of {self.root}",
                expected="a folder",
                got="nothing there",
                hint="set corpus.root to the folder that has it, or corpus.paths",
            )
        texts: dict[str, str] = {}
        unused: set[str] = set()
        if self.transcripts:
            yield from self._read_transcripts(texts)
            unused.update(texts)
        find = partial(self._found, links, texts, unused)
        yield from map_any(self.root, find, walk_audio(self.root, links, self.folder))
        if unused:  # as of archives that were not unpacked
            _log.warning(
                "%s: %d texts of %s have no audio, the first %s",
                self.name, len(unused), self.transcripts, brief(min(unused)),
            )  # fmt: skip

    def _found(
        self, links: Links, texts: Mapping[str, str], unused: set[str], present: Present
    ) -> Found:
        """Return what an audio file is, and take its text out of the unused ones."""
        audio = present.audio
        said = None if present.is_hidden else self.pattern.fullmatch(audio)
        if said is None:
            return present
        try:
            check_name(audio)
            links.check(audio, f"folder {self.root}")
            unused.discard(said.groupdict().get("name", ""))
            return self._row(audio, said, texts)
        except AudioError as error:
            return Failure.of(error, id=stem(audio), audio=audio, root=self.root)
        except CorpusError as error:
            return bad_row(error, audio, audio)

    def _read_transcripts(self, texts: dict[str, str]) -> Iterator[Failure]:
        """Fill in texts by name, and give the lines that say none, or another one of a name."""
        for where, line in text_lines(self.root / self.transcripts, self.root):
            name, *rest = line.split(maxsplit=1)
            text = "".join(rest).strip()
            try:
                check_utf8(line, where)
                if texts.setdefault(name, text) != text:
                    raise CorpusError(
                        f"text of {brief(name)} in {where}",
                        expected=f"the one before it, {texts[name]!r}",
                        got=repr(text),
                    )
            except CorpusError as error:
                yield bad_row(error, where)

    def _row(self, audio: str, said: re.Match[str], texts: Mapping[str, str]) -> CorpusRow:
        meant = said.groupdict()
        text: str | None = None
        if self.text_path:
            text = read_text(self.root, self.text_path.fill(meant))
        elif self.transcripts:
            text = texts.get(meant["name"])
        if text is None and self.need_text:
            raise CorpusError(f"text of {audio}", expected="one", got="none")
        return CorpusRow(
            id=stem(audio),
            audio=audio,
            where=audio,
            speaker=meant.get("speaker", ""),
            language=meant.get("language", self.language),
            text=text or "",
            part=meant.get("part", ""),
            split=meant.get("split", ""),
            license=meant.get("license", ""),
            consent=meant.get("consent", ""),
        )


def read_text(root: AnyPath, path: str) -> str | None:
    """Return the text that is a file of a corpus, without white space around it; None without one.

    Args:
        root: of the corpus.
        path: of the file, relative to the root.

    Raises:
        CorpusError: the file cannot be read, or is no text.
    """
    where = f"text {path}"
    try:
        data = read_any(root / path, _MAX_TEXT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RemoteError:
        raise  # which says nothing of the file
    except OSError as error:
        raise CorpusError(where, expected="a readable file", got=error.strerror) from error
    text = data.decode(errors="surrogateescape").removeprefix("\ufeff")
    check_utf8(text, where)
    return " ".join(text.split())
