"""Parser of what a Kaldi `wav.scp` says of a recording: a file, a place in an archive, a command.

No command is ever run. A wav.scp is a file that anybody may have written, and even without a shell
`sox "|touch x" -t wav -` runs `touch`. So the forms that recipes use are read as what they mean,
and everything else is refused. What is understood is in
`featbank.corpora.layouts.kaldi.audio_commands`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from featbank.base.failures import brief
from featbank.base.manifest import MIX_CHANNELS
from featbank.corpora.layouts.kaldi.audio_commands import (
    COMMANDS,
    UNDERSTOOD,
    Step,
    UnknownFormError,
)
from featbank.errors import CorpusError

# what a shell takes as it stands, and quotes in which nothing is replaced
_WORD = re.compile(r"""(?:[^\s'"\\|&;<>()$`*?\[\]{}~#]|'[^']*'|"[^"$`\\]*")+""")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_IN_ARCHIVE = re.compile(r"(?P<file>.+):(?P<offset>[0-9]{1,18})", re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSource:
    """What a line of a wav.scp means, without running it.

    Args:
        file: path of the file that is read, as it is written.
        offset: byte of it at which the audio begins, of an entry of an archive; else None.
        channel: that is taken: an index from 0, or `MIX_CHANNELS` for the mean of all; None for
            the file's only one.
        sample_rate: that a command converts to, in Hz; None for that of the file.
        speed: that a command plays it at.
    """

    file: str
    offset: int | None = None
    channel: int | None = None
    sample_rate: int | None = None
    speed: float = 1.0


def parse_source(text: str, where: str) -> AudioSource:
    """Read what stands behind the name of a recording in a wav.scp.

    >>> parse_source("flac -c -d -s a/b.flac |", "wav.scp:1").file
    'a/b.flac'
    >>> parse_source("data/wav.ark:123", "wav.scp:1").offset
    123
    >>> parse_source("sph2pipe -f wav -p -c 2 x.sph | sox -t wav - -r 8k -t wav - |", "wav.scp:1")
    AudioSource(file='x.sph', offset=None, channel=1, sample_rate=8000, speed=1.0)

    Args:
        text: a path, `archive:offset`, or a command that ends with `|`.
        where: it stands, for messages.

    Raises:
        CorpusError: it is none of the forms that are understood.
    """
    try:
        if not text.endswith("|"):
            return _file(text)
        source: AudioSource | None = None
        for words in _commands(text[:-1]):
            source = _after(source, _step(words))
        assert source is not None
    except UnknownFormError as error:
        raise CorpusError(
            f"{where}: {error}",
            expected=UNDERSTOOD,
            got=brief(repr(text)),
            hint="no command is run: name a file, or convert the audio beforehand",
        ) from error
    return source


def _file(text: str) -> AudioSource:
    if text.startswith("|"):
        raise UnknownFormError("a pipe to write to")
    if text in ("", "-"):
        raise UnknownFormError("no file")
    if found := _IN_ARCHIVE.fullmatch(text):
        return AudioSource(file=found["file"], offset=int(found["offset"]))
    return AudioSource(file=text)


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a pipe, unquoted as a shell would."""
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
        elif text[at] == "|":
            yield words
            words = []
            at += 1
        elif found := _WORD.match(text, at):
            words.append(_QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or "", found[0]))
            at = found.end()
        else:
            raise UnknownFormError(f"{text[at]!r}, which a shell would interpret")
    yield words


def _step(words: list[str]) -> Step:
    if not words:
        raise UnknownFormError("an empty command")
    program = words[0].rpartition("/")[2]  # recipes name some by their path
    if program not in COMMANDS:
        raise UnknownFormError(f"the command {brief(repr(program))}")
    return COMMANDS[program](words[1:])


def _after(source: AudioSource | None, step: Step) -> AudioSource:
    """Return what a command makes of the one before it, or of its file."""
    if source is None:
        if step.file == "-":
            raise UnknownFormError("a command that reads what nothing writes")
        source = _file(step.file) if step.takes_archives else AudioSource(file=step.file)
    elif step.file != "-":
        raise UnknownFormError("a command in a pipe that does not read the one before it")
    if step.speed != 1 != source.speed:
        raise UnknownFormError("a speed twice")
    channel = source.channel
    if channel is None:
        channel = step.channel
    elif step.channel not in (None, 0, MIX_CHANNELS):  # one channel is left
        raise UnknownFormError(f"channel {step.channel} of what has one")
    return AudioSource(
        file=source.file,
        offset=source.offset,
        channel=channel,
        sample_rate=step.sample_rate or source.sample_rate,
        speed=step.speed * source.speed,
    )
