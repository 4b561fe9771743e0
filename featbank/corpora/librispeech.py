"""LibriSpeech's layout: `SUBSET/SPEAKER/CHAPTER/*.flac` beside `*.trans.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from featbank.corpora.base import Corpus, CorpusRow, Listing, check_split
from featbank.corpora.cells import read_text
from featbank.corpora.paths import list_audio, relative_audio, stem
from featbank.errors import ConfigError, CorpusError


class LibriSpeechCorpus(Corpus):
    """Reads subsets such as `train-clean-100`; the word before the first `-` is the split.

    A subset is a `part`: adding one to a corpus leaves the shards of the others as they are.

    Args:
        subsets: folders to read; None reads all that hold transcripts.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: `subsets` is an empty list.
    """

    def __init__(self, *, subsets: Sequence[str] | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        if subsets is not None and not subsets:
            raise ConfigError(
                "corpus.subsets", expected="names of folders, or null for all", got="an empty list"
            )
        self.subsets = None if subsets is None else tuple(subsets)

    def read(self) -> Listing:
        """Read the transcripts. A file without one is `unlisted`."""
        subsets = self.subsets or sorted(path.name for path in self.root.iterdir() if path.is_dir())
        rows: list[CorpusRow] = []
        files: set[str] = set()
        for subset in subsets:
            folder = self.root / subset
            if not folder.is_dir():
                raise CorpusError(
                    f"subset {subset} of {self.root}", expected="a folder", got="nothing there"
                )
            files.update(list_audio(self.root, folder))
            transcripts = sorted(folder.glob("*/*/*.trans.txt"))
            if self.subsets and not transcripts:
                raise CorpusError(
                    f"subset {subset} of {self.root}",
                    expected="transcripts in SPEAKER/CHAPTER/*.trans.txt",
                    got="none",
                )
            for path in transcripts:
                rows += self._transcripts(path, subset)
        return Listing(rows=rows, unlisted=sorted(files - {row.audio for row in rows}))

    def _transcripts(self, path: Path, subset: str) -> Iterator[CorpusRow]:
        folder = path.parent.relative_to(self.root)
        table = path.relative_to(self.root).as_posix()
        split = check_split(subset.partition("-")[0], f"the name of folder {subset}")
        for number, line in enumerate(read_text(path, self.root).split("\n"), start=1):
            if not line.strip():
                continue
            name, _, text = line.strip().partition(" ")
            where = f"{table}:{number}"
            audio = relative_audio(f"{folder.as_posix()}/{name}.flac", self.root, where)
            yield CorpusRow(
                id=stem(audio),
                audio=audio,
                where=where,
                speaker=folder.parts[-2],
                language=self.language,
                text=text.strip(),
                part=subset,
                split=split,
            )
