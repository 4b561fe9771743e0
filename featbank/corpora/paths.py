"""Checks of the paths of a corpus's audio files, none of which may lead out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from featbank.base.failures import brief
from featbank.base.manifest import check_id
from featbank.base.places import Place
from featbank.corpora.base import Present
from featbank.corpora.links import Links
from featbank.errors import AudioError, ConfigError, CorpusError
from featbank.files.remote import AnyPath, RemotePath, is_remote, walk_remote

READABLE_SUFFIXES = frozenset([
    ".flac", ".wav", ".wave", ".bwf", ".rf64", ".w64", ".ogg", ".oga", ".opus", ".mp3", ".aif",
    ".aiff", ".aifc", ".caf", ".au", ".snd", ".sph", ".nist",
    ".m4a", ".m4b", ".aac", ".wma", ".weba", ".mka", ".amr", ".awb", ".g722",  # with ffmpeg
])  # fmt: skip
"""Endings of audio that decodes."""

# videos, of which the sound decodes, and kinds that do not decode are here too: such a file is
# reported, not overlooked
AUDIO_SUFFIXES = READABLE_SUFFIXES | frozenset([
    ".mp4", ".webm", ".3gp", ".mp1", ".mp2", ".mpga", ".wv", ".ape", ".ac3", ".spx", ".tta", ".mpc",
    ".shn", ".voc", ".vox", ".gsm", ".ra", ".raw", ".pcm", ".dsf", ".dff",
])  # fmt: skip

_MAX_CHARACTERS = 4096  # of a path, on Linux
_REPLACEMENTS = "corpus.replacements says where other folders lie: {/data/calls: calls}"
# words joined by single dots and slashes: such a path is normal, and leads nowhere else
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*")


class AudioPaths:
    """Normalises and checks the paths of a corpus's rows, most of which repeat the last one.

    Args:
        root: of the corpus.
        links: which of its links may lead out of it.
        replacements: where paths may begin -> the folder below the root that this stands for:
            `{/data/calls: ""}`, `{$data_root: wav}`.
        hint: what to do about a path that leads elsewhere, of a layout without `replacements`.
    """

    def __init__(
        self,
        root: AnyPath,
        links: Links,
        *,
        replacements: Mapping[str, str] | None = None,
        hint: str = "corpus.root is the folder into which absolute paths must lead",
    ) -> None:
        self._root, self._links = root, links
        self._hint = hint if replacements is None else _REPLACEMENTS
        self._roots: set[PurePosixPath] = set()
        if isinstance(root, Path):
            self._roots = {PurePosixPath(root.absolute()), PurePosixPath(os.path.realpath(root))}
        self._replacements = _beginnings(
            {**{str(one): "" for one in self._roots or [root]}, **(replacements or {})}
        )
        self._checked: tuple[str | None, str] = (None, "")  # the last, which many repeat
        self._linked = ""

    def relative(self, text: str, where: str) -> str:
        """Return the path of an audio file relative to the root, normalised, with forward slashes.

        An absolute path, or a URL, is taken where it leads into the root. The file need not exist:
        a missing one is found when it is to be decoded. Links are not looked at: see `check_links`.

        Raises:
            CorpusError: the path is empty, leads elsewhere, has `..` or a control character, or is
                too long to be one.
        """
        if text == self._checked[0]:
            return self._checked[1]
        below = text
        for begin, folder in self._replacements:
            if text.startswith(begin):
                below = folder + text[len(begin) :].lstrip("/")
                break
        if len(below) <= _MAX_CHARACTERS and _PLAIN.fullmatch(below):
            self._checked = (text, below)
            return below
        path = PurePosixPath(below)
        if path.is_absolute():
            path = next((path.relative_to(r) for r in self._roots if path.is_relative_to(r)), path)
        audio = str(path)
        if (
            not text or path.is_absolute() or ".." in path.parts or not path.parts
            or len(audio) > _MAX_CHARACTERS or self._is_variable(path.parts[0]) or is_remote(below)
        ):  # fmt: skip
            raise CorpusError(
                f"audio path in {where}",
                expected="a path inside the corpus",
                got=brief(repr(text)),
                hint=self._hint if text.startswith(("/", "$", "{")) else "",
            )
        check_id(audio, CorpusError)
        if "!/" in audio and isinstance(self._root, Path) and os.path.lexists(self._root / audio):
            raise _taken_for_a_place(audio)
        self._checked = (text, audio)
        return audio

    def _is_variable(self, first: str) -> bool:
        """Tell whether a path begins with a variable that nothing replaces: `$data_root`."""
        if not first.startswith(("$", "{")):
            return False
        return not (isinstance(self._root, Path) and (self._root / first).exists())

    def check_links(self, audio: str, where: str) -> None:
        """Refuse a file to which a link leads that may not; see `Links.check`."""
        if audio != self._linked:
            self._links.check(audio, where)
            self._linked = audio


def checked_replacements(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return where paths of audio may begin -> the folder below the root that this stands for.

    >>> checked_replacements({"/data/calls": "calls"}), checked_replacements(None)
    ({'/data/calls': 'calls'}, {})

    Raises:
        ConfigError: a beginning is empty, or what it stands for is no folder below the root.
    """
    _beginnings(given or {})
    return dict(given or {})


def _beginnings(replacements: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return beginnings of paths and what they stand for, both up to a slash, the longest first.

    Raises:
        ConfigError: a beginning is empty, or what it stands for is no folder below the root.
    """
    pairs = []
    for begin, folder in replacements.items():
        is_begin = isinstance(begin, str) and begin.strip()
        below = PurePosixPath(folder) if isinstance(folder, str) else None
        if not is_begin or below is None or below.is_absolute() or ".." in below.parts:
            raise ConfigError(
                "corpus.replacements",
                expected="folders below the root by where paths begin: {/data/calls: calls}",
                got=f"{begin!r}: {folder!r}",
            )
        pairs.append((begin.rstrip("/") + "/", f"{below}/" if below.parts else ""))
    return sorted(pairs, key=lambda pair: (-len(pair[0]), pair[0]))


def walk_audio(root: AnyPath, links: Links, folder: str = "") -> Iterator[Present]:
    """Give the audio files below a folder of the corpus, in no order.

    A name may be no UTF-8, or have a control character: see `check_name`.

    Raises:
        CorpusError: a symbolic link to a folder leads out of `root` and may not, or in a circle.
            A link that stays inside is not followed, since what it shows is found in its own place.
        OSError: a folder cannot be read.
    """
    if isinstance(root, RemotePath):
        yield from _walk_elsewhere(root, folder)
        return
    # a folder, whether it is hidden, and what the links on its way lead to
    waiting: list[tuple[str, bool, tuple[Path, ...]]] = [(folder, False, (links.real_root,))]
    while waiting:
        at, is_hidden, ways = waiting.pop()
        with os.scandir(root / at) as entries:
            for entry in entries:
                path = f"{at}/{entry.name}" if at else entry.name
                hides = is_hidden or hidden(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((path, hides, ways))
                elif entry.is_symlink() and _leads_to_folder(entry):
                    if hides or (target := links.target(path, f"folder {root / at}")) is None:
                        continue
                    _refuse_loop(path, target, ways)
                    waiting.append((path, hides, (*ways, target)))
                elif PurePosixPath(entry.name).suffix.lower() in AUDIO_SUFFIXES:
                    yield Present(audio=path, is_hidden=hides)


def _walk_elsewhere(root: RemotePath, folder: str) -> Iterator[Present]:
    for path in walk_remote(root, folder):
        if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES:
            yield Present(audio=path, is_hidden=any(map(hidden, path.split("/"))))


def hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden: what systems and editors put into a corpus.

    >>> [hidden(name) for name in ("._x.wav", ".ipynb_checkpoints", "__MACOSX", "x.wav")]
    [True, True, True, False]
    """
    return name.startswith(".") or name == "__MACOSX"


def check_name(audio: str) -> None:
    """Refuse the name of a file that no manifest can hold.

    Raises:
        AudioError: it is not UTF-8, has a control character or a line separator, or reads as that
            of audio inside another file.
    """
    try:
        check_id(audio, CorpusError)
    except CorpusError as error:
        raise AudioError(
            f"audio {audio}",
            kind="bad_name",
            expected="a name in UTF-8, without control characters",
            got=error.got,
            hint="rename it",
        ) from error
    if Place.parse(audio):
        fault = _taken_for_a_place(audio)
        raise AudioError(
            fault.what, kind="bad_name", expected=fault.expected, got=fault.got, hint=fault.hint
        )


def stem(audio: str) -> str:
    """Return a path without its last suffix.

    >>> stem("june_fr/vm-toreply.flac"), stem("a.b/.x"), stem("x.")
    ('june_fr/vm-toreply', 'a.b/.x', 'x.')
    """
    dot = audio.rfind(".")
    return audio[:dot] if audio.rfind("/") + 1 < dot < len(audio) - 1 else audio


def _taken_for_a_place(audio: str) -> CorpusError:
    return CorpusError(
        f"audio {audio}",
        expected="a name without '!/', which stands for audio inside a file",
        got="a file of such a name",
        hint="rename the folder whose name ends with '!'",
    )


def _leads_to_folder(link: os.DirEntry[str]) -> bool:
    try:
        return link.is_dir()
    except OSError:
        return False  # in a circle: it is a file of the corpus that cannot be read


def _refuse_loop(path: str, target: Path, ways: tuple[Path, ...]) -> None:
    if any(way.is_relative_to(target) for way in ways):
        raise CorpusError(
            f"folder {path}",
            expected="a link to another folder",
            got=f"one to {target}, which leads here again",
            hint="remove the link",
        )
