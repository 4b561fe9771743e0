"""LibriSpeech's layout: `SUBSET/SPEAKER/CHAPTER/*.flac` beside `*.trans.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from featbank.corpora.base import Corpus, CorpusRow, Found
from featbank.corpora.layouts.cells import text_rows
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, hidden, stem, walk_audio
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import AnyPath, find, folders_in, is_there


class LibriSpeechCorpus(Corpus):
    """Reads subsets such as `train-clean-100`, each a split of its name.

    Where `splits` makes one split of several, `{train-clean-100: train, train-clean-360: train}`, a
    subset is a `part` of it: adding one to a corpus leaves the shards of the others as they are.

    Args:
        subsets: folders to read; None reads all that hold transcripts.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: `subsets` is an empty list.
    """

    version = 1

    def __init__(self, *, subsets: Sequence[str] | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        if subsets is not None and not subsets:
            raise ConfigError(
                "corpus.subsets", expected="names of folders, or null for all", got="an empty list"
            )
        self.subsets = None if subsets is None else tuple(subsets)

    def read(self, links: Links) -> Iterator[Found]:
        """Read the transcripts, subset by subset, then give the audio files that there are."""
        paths = AudioPaths(self.root, links)
        is_met = False
        for subset in self.subsets or self._folders():
            folder = self.root / subset
            if not is_there(folder):
                raise CorpusError(
                    f"subset {subset} of {self.root}", expected="a folder", got="nothing there"
                )
            transcripts = [
                folder / name
                for name in find(folder, "*/*/*.trans.txt")
                if not hidden(name.rpartition("/")[2])
            ]
            if self.subsets and not transcripts:
                raise CorpusError(
                    f"subset {subset} of {self.root}",
                    expected="transcripts in SPEAKER/CHAPTER/*.trans.txt",
                    got="none",
                )
            is_met = is_met or bool(transcripts)
            for path in transcripts:
                yield from self._transcripts(path, subset, paths)
            yield from walk_audio(self.root, links, subset)
        if not is_met:
            raise CorpusError(
                f"corpus {self.name} in {self.root}",
                expected="SUBSET/SPEAKER/CHAPTER/*.trans.txt",
                got="none",
                hint="set corpus.root to the folder that has the subsets, such as dev-clean",
            )

    def _folders(self) -> list[str]:
        return [name for name in folders_in(self.root) if not hidden(name)]

    def _transcripts(self, path: AnyPath, subset: str, paths: AudioPaths) -> Iterator[Found]:
        folder = path.parent.relative_to(self.root)

        def read(line: str, where: str) -> CorpusRow:
            name, _, text = line.strip().partition(" ")
            audio = paths.relative(f"{folder.as_posix()}/{name}.flac", where)
            return CorpusRow(
                id=stem(audio),
                audio=audio,
                where=where,
                speaker=folder.parts[-2],
                language=self.language,
                text=text.strip(),
                part=subset,
                split=subset,
            )

        return text_rows(path, self.root, paths, read)
