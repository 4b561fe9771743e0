"""The commands that recipes put into a wav.scp, read for what they mean: none is run.

Each reader takes the words behind the program's name, and refuses every option that it does not
know: an option that changes samples must not be overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featbank.base.manifest import MIX_CHANNELS
from featbank.base.speeds import check_speed
from featbank.errors import FeatbankError

UNDERSTOOD = (
    "a file, ARCHIVE:OFFSET, or a command that docs/corpora.md lists, of cat, flac -c -d -s, "
    "sph2pipe -f wav, ffmpeg -i, sox and wav-copy"
)
"""What `parse_source` takes, for messages."""

_MOST_CHANNELS = 1024
_RATIO = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}")
_RATE = re.compile(r"([0-9]{1,9})(?:\.0+)?(k?)")


class UnknownFormError(FeatbankError):
    """A wav.scp says something that is not understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one command does.

    Args:
        file: that it reads; `-` for what the command before it writes.
        channel: that it selects, as in `AudioSource`; None where it passes all.
        sample_rate: that it converts to, in Hz; None where it does not.
        speed: that it plays at, as `sox speed`: tempo and pitch together.
        takes_archives: whether `file` may be a place in an archive.
    """

    file: str
    channel: int | None = None
    sample_rate: int | None = None
    speed: float = 1.0
    takes_archives: bool = False


def _cat(words: Sequence[str]) -> Step:
    return Step(file=_only(words, "cat"))


def _flac(words: Sequence[str]) -> Step:
    known = {"--stdout": "c", "--decode": "d", "--silent": "s", "--totally-silent": "s"}
    flags, files = "", []
    for word in words:
        if word in known:
            flags += known[word]
        elif re.fullmatch("-[cds]+", word):
            flags += word[1:]
        else:
            files.append(word)
    if not {"c", "d"} <= set(flags):
        raise UnknownFormError("flac without -c -d")
    return Step(file=_only(files, "flac"))


def _sph2pipe(words: Sequence[str]) -> Step:
    channel, files = None, []
    rest = iter(words)
    for word in rest:
        match word:
            case "-p":  # PCM, whatever the coding of the file
                pass
            case "-f":
                if (form := _next(rest, word)) not in ("wav", "rif"):
                    raise UnknownFormError(f"sph2pipe -f {form}")
            case "-c":
                channel = _channel(_next(rest, word))
            case _:
                files.append(word)
    return Step(file=_only(files, "sph2pipe"), channel=channel)


def _ffmpeg(words: Sequence[str]) -> Step:
    file, out, found = "", "", dict[str, Any]()
    rest = iter(words)
    for word in rest:
        if word == "-i" and not file:
            file = _next(rest, word)
        elif word in ("-", "pipe:", "pipe:1") and file and not out:
            out = word
        else:
            found |= _option("ffmpeg", _FFMPEG_BEHIND if file else _FFMPEG, word, rest)
    if not (file and out):
        raise UnknownFormError("ffmpeg without -i FILE and -")
    if re.match(r"[a-z0-9]+:", file):  # `concat:a|b`, `http://x`
        raise UnknownFormError(f"ffmpeg that reads {file!r}, which is no file")
    return Step(file=file, **found)


def _sox(words: Sequence[str]) -> Step:
    file, found = "", dict[str, Any]()
    rest = iter(words)
    for word in rest:
        if word.startswith("-") and word != "-":
            found |= _option("sox", _SOX_BEHIND if file else _SOX, word, rest)
        elif not file:
            if word.startswith("|") or "://" in word:
                raise UnknownFormError(f"sox that reads {word!r}, which is no file")
            file = word
        elif word == "-":
            break
        else:
            raise UnknownFormError(f"sox that writes or joins {word!r}")
    else:
        raise UnknownFormError("sox without a file and -")
    effects = dict[str, Any]()
    for effect in rest:
        one = _option("sox", _SOX_EFFECTS, effect, rest)
        if one.keys() & effects.keys():
            raise UnknownFormError(f"sox with {effect} twice")
        effects |= one
    found |= effects  # channels are mixed after all effects, of which one may have left but one
    return Step(file=file, **found)


def _wav_copy(words: Sequence[str]) -> Step:
    if len(words) != 2 or words[1] != "-":
        raise UnknownFormError("wav-copy without one place and -")
    return Step(file=_only(words[:1], "wav-copy"), takes_archives=True)


COMMANDS: Mapping[str, Callable[[Sequence[str]], Step]] = {
    "cat": _cat,
    "flac": _flac,
    "sph2pipe": _sph2pipe,
    "ffmpeg": _ffmpeg,
    "sox": _sox,
    "wav-copy": _wav_copy,
}
"""By the name of the program: what reads the words behind it."""


_Said = dict[str, Any]
"""What options say of the fields of a `Step`, by their names."""

_Takes = Callable[[str], _Said] | Sequence[str] | None
"""Value of an option: what it selects, the only ones that select nothing, or that it has none."""


def _option(program: str, known: Mapping[str, _Takes], word: str, words: Iterator[str]) -> _Said:
    """Read an option and its value; return what it says of the fields of a `Step`."""
    if word not in known:
        raise UnknownFormError(f"{program} with {word!r}")
    takes = known[word]
    if takes is None:
        return {}
    value = _next(words, f"{program} {word}")
    if callable(takes):
        return takes(value)
    if value not in takes:
        raise UnknownFormError(f"{program} {word} {value}")
    return {}


def _mix(text: str) -> _Said:
    """Read a number of channels, which must be 1: all are mixed."""
    if text != "1":
        raise UnknownFormError(f"{text} channels")
    return {"channel": MIX_CHANNELS}


def _remix(text: str) -> _Said:
    return {"channel": MIX_CHANNELS if text == "-" else _channel(text)}


def _rate(text: str) -> _Said:
    """Read a sample rate: `16000`, `16k`."""
    if not (found := _RATE.fullmatch(text)) or not int(found[1]):
        raise UnknownFormError(f"the sample rate {text!r}")
    return {"sample_rate": int(found[1]) * (1000 if found[2] else 1)}


def _speed(text: str) -> _Said:
    """Read a ratio; `100c`, in cents, is none."""
    if not _RATIO.fullmatch(text):
        raise UnknownFormError(f"the speed {text!r}")
    return {"speed": check_speed(float(text), "speed of sox", UnknownFormError)}


_BIT_RATES = ("16", "16k", "128k", "256k")
_LOG_LEVELS = ("quiet", "panic", "fatal", "error", "warning", "info", *map(str, range(49)))

# what says nothing of samples
_FFMPEG: Mapping[str, _Takes] = {
    **dict.fromkeys(("-hide_banner", "-nostdin", "-nostats", "-y")),
    **dict.fromkeys(("-loglevel", "-v"), _LOG_LEVELS),
    "-threads": tuple(map(str, range(129))),
}
_FFMPEG_BEHIND: Mapping[str, _Takes] = {
    **_FFMPEG,
    "-vn": None,
    "-f": ("wav",),
    "-map_metadata": ("-1",),
    "-sample_fmt": ("s16",),
    **dict.fromkeys(("-ab", "-b:a"), _BIT_RATES),  # of which PCM has but one
    **dict.fromkeys(("-acodec", "-c:a", "-codec:a"), ("pcm_s16le",)),
    "-ar": _rate,
    "-ac": _mix,
}
_WIDTHS: Mapping[str, _Takes] = {
    "-b": ("16", "24", "32"),
    "-e": ("signed", "signed-integer"),
    **dict.fromkeys(("-s", "-2")),  # signed, of two bytes, as old versions have it
}
# in front of a file options say what it holds: that a headerless one is, is refused; `-c 1` selects
# nothing, so that a file of several channels is refused where the definition selects none
_SOX: Mapping[str, _Takes] = {
    **dict.fromkeys(("-V", "-V0", "-V1", "-V2", "-V3", "-q", "-D", "-R")),
    "-t": ("wav", "wavpcm", "flac", "sph", "ogg"),
    "-c": ("1",),
    **_WIDTHS,
}
_SOX_BEHIND: Mapping[str, _Takes] = {
    "-t": ("wav", "wavpcm"),
    "-r": _rate,
    "-c": _mix,
    **_WIDTHS,
}
_SOX_EFFECTS: Mapping[str, _Takes] = {
    "remix": _remix,
    "rate": _rate,
    "speed": _speed,
    "dither": None,  # of a width that files keep here
}


def _only(files: Sequence[str], program: str) -> str:
    """Return the only file of a command, which is no option."""
    for file in files:
        if file.startswith("-") and file != "-":
            raise UnknownFormError(f"{program} with {file!r}")
    if len(files) != 1 or not files[0]:
        raise UnknownFormError(f"{program} of {len(files)} files")
    return files[0]


def _next(words: Iterator[str], option: str) -> str:
    if (word := next(words, None)) is None:
        raise UnknownFormError(f"{option} without a value")
    return word


def _channel(text: str) -> int:
    """Read a channel that is counted from 1, as an index from 0."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_CHANNELS):
        raise UnknownFormError(f"channel {text!r}")
    return int(text) - 1
