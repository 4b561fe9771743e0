"""What a wav.scp says of a recording, read without running anything."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import MIX_CHANNELS
from featbank.corpora.layouts.kaldi.wav_scp import AudioSource, parse_source
from featbank.errors import CorpusError


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("/corpora/x/a.wav", {"file": "/corpora/x/a.wav"}),
        ("my recordings/a b.wav", {"file": "my recordings/a b.wav"}),
        ("-x.wav", {"file": "-x.wav"}),
        ("dump/wav.1.ark:1234", {"file": "dump/wav.1.ark", "offset": 1234}),
        ("a.wav:b", {"file": "a.wav:b"}),
        ("cat a.wav |", {"file": "a.wav"}),
        ("flac -c -d -s /x/84-121123-0000.flac |", {"file": "/x/84-121123-0000.flac"}),
        ("flac -dcs a.flac|", {"file": "a.flac"}),
        ("/opt/flac --decode --stdout --silent a.flac |", {"file": "a.flac"}),
        ("sph2pipe -f wav a.sph |", {"file": "a.sph"}),
        (
            "/k/tools/sph2pipe_v2.5/sph2pipe -f wav -p -c 2 sw02001.sph |",
            {"file": "sw02001.sph", "channel": 1},
        ),
        (
            "ffmpeg -i a.mp3 -f wav -ar 16000 -ac 1 - |",
            {"file": "a.mp3", "sample_rate": 16000, "channel": MIX_CHANNELS},
        ),
        (
            "ffmpeg -v 8 -nostdin -i 'my a.m4a' -acodec pcm_s16le -f wav pipe:1 |",
            {"file": "my a.m4a"},
        ),
        ("ffmpeg -i a.mp3 -f wav -ar 16000 -ab 16 - |", {"file": "a.mp3", "sample_rate": 16000}),
        ("ffmpeg -i a.mp4 -map_metadata -1 -f wav -sample_fmt s16 - |", {"file": "a.mp4"}),
        ("sox a.wav -t wav - |", {"file": "a.wav"}),
        ("sox -c 1 -t wavpcm -e signed-integer a.wav -t wavpcm - |", {"file": "a.wav"}),
        (
            "sph2pipe -f wav -p -c 2 a.sph | sox -R -t wav - -t wav - rate 16000 dither |",
            {"file": "a.sph", "channel": 1, "sample_rate": 16000},
        ),
        (
            "sox -t wav a.wav -r 16k -b 16 -e signed-integer -t wav - remix 2 |",
            {"file": "a.wav", "sample_rate": 16000, "channel": 1},
        ),
        ("sox a.wav -c 1 -t wav - |", {"file": "a.wav", "channel": MIX_CHANNELS}),
        ("sox a.wav -c 1 -t wav - remix 2 |", {"file": "a.wav", "channel": 1}),
        ("sox a.wav -t wav - remix - rate 8000 speed 1.0 |",
         {"file": "a.wav", "channel": MIX_CHANNELS, "sample_rate": 8000}),
        ("sox -t wav a.wav -t wav - speed 0.9 |", {"file": "a.wav", "speed": 0.9}),
        (
            "flac -c -d -s a.flac | sox -t wav - -t wav - speed 1.1 |",
            {"file": "a.flac", "speed": 1.1},
        ),
        ("wav-copy data/wav.ark:77 - |", {"file": "data/wav.ark", "offset": 77}),
        (
            "sph2pipe -f wav -p -c 1 a.sph | sox -t wav - -r 8000 -c 1 -t wav - |",
            {"file": "a.sph", "channel": 0, "sample_rate": 8000},
        ),
        ("cat a.flac | flac -c -d -s - | sox -t wav - -t wav - remix 1 |",
         {"file": "a.flac", "channel": 0}),
        ("cat 'a $(b);`c`.wav' |", {"file": "a $(b);`c`.wav"}),
        ('cat "a; b.wav" |', {"file": "a; b.wav"}),
        ("cat data/'my 'a.wav |", {"file": "data/my a.wav"}),
        ("cat a.ark:12 |", {"file": "a.ark:12"}),
    ],
)  # fmt: skip
def test_a_form_that_recipes_use_is_read_as_what_it_means(
    text: str, fields: dict[str, Any]
) -> None:
    assert parse_source(text, "wav.scp:1") == AudioSource(**fields)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        # what a shell or a program would run, or write
        ("|touch x", "a pipe to write to"),
        ('sox "|touch x" -t wav - |', "reads '|touch x', which is no file"),
        ("sox '|touch x' -t wav - |", "which is no file"),
        ("cat a.wav; touch x |", "';', which a shell would interpret"),
        ("cat a.wav && touch x |", "'&'"),
        ("cat $(touch x) |", "'\\$'"),
        ('cat "$(touch x)" |', "'\"', which a shell would interpret"),
        ("cat `touch x` |", "'`'"),
        ('cat "`touch x`" |', "'\"'"),
        ("cat a.wav > x |", "'>'"),
        ("cat a.wav 2>/dev/null |", "'>'"),
        ("cat < a.wav |", "'<'"),
        ("cat a*.wav |", "'\\*'"),
        ("cat ~/a.wav |", "'~'"),
        ("cat $HOME/a.wav |", "'\\$'"),
        ("cat my\\ a.wav |", r"'\\\\'"),
        ("cat 'a.wav |", "\"'\", which"),
        ("cat a.wav\n touch x |", "which a shell would interpret"),
        ("cat a.wav | tee x |", "the command 'tee'"),
        ("bash -c 'touch x' |", "the command 'bash'"),
        ("touch x |", "the command 'touch'"),
        ("sox a.wav b.wav -t wav - |", "writes or joins 'b.wav'"),
        ("sox a.wav -t wav b.wav |", "writes or joins 'b.wav'"),
        ("sox http://x/a.wav -t wav - |", "which is no file"),
        ("ffmpeg -i concat:a|b -f wav - |", "ffmpeg without"),
        ("ffmpeg -i 'concat:a|b' -f wav - |", "'concat:a|b', which is no file"),
        ("ffmpeg -i a.wav -f wav - b.wav |", "ffmpeg with 'b.wav'"),
        ("flac -c -d -s -o x a.flac |", "flac with '-o'"),
        # what would change samples
        ("sox a.wav -t wav - speed 100c |", "the speed '100c'"),
        ("sox a.wav -t wav - speed 0 |", "speed of sox.*a speed from 0.1 to 10"),
        ("sox a.wav -t wav - speed 0.9 speed 0.9 |", "speed twice"),
        ("sox a.wav -t wav - speed 2 | sox - -t wav - speed 2 |", "a speed twice"),
        ("sox a.wav -t wav - trim 0 1 |", "sox with 'trim'"),
        ("sox -v 0.5 a.wav -t wav - |", "sox with '-v'"),
        ("sox -t raw -r 8000 -e mu-law a.ul -t wav - |", "sox -t raw"),
        ("sox -r 8000 a.wav -t wav - |", "sox with '-r'"),
        ("sox a.wav -e mu-law -t wav - |", "sox -e mu-law"),
        ("sox a.wav -c 2 -t wav - |", "2 channels"),
        ("sox -c 2 a.wav -t wav - |", "sox -c 2"),
        ("sox a.wav -t wav - remix 1,2 |", "channel '1,2'"),
        ("sox a.wav -t wav - remix 1 remix 2 |", "remix twice"),
        ("sox a.wav -t wav - remix |", "sox remix without a value"),
        ("sph2pipe -f wav -c 1 a.sph | sox - -t wav - remix 2 |", "channel 1 of what has one"),
        ("sph2pipe -f wav -p -t 1:2 a.sph |", "sph2pipe"),
        ("sph2pipe -f wav -p -c 0 a.sph |", "channel '0'"),
        ("sph2pipe -f raw a.sph |", "sph2pipe -f raw"),
        ("ffmpeg -ss 3 -i a.wav -f wav - |", "ffmpeg with '-ss'"),
        ("ffmpeg -i a.wav -af volume=2 -f wav - |", "ffmpeg with '-af'"),
        ("ffmpeg -i a.wav -f wav -ac 2 - |", "2 channels"),
        # what reads nothing, or several
        ("", "no file"), ("-", "no file"), ("|", "a pipe to write to|an empty command"),
        ("cat a.wav | | cat - |", "an empty command"),
        ("cat - |", "reads what nothing writes"),
        ("cat a.wav | cat b.wav |", "does not read the one before it"),
        ("cat a.wav b.wav |", "cat of 2 files"),
        ("cat -n a.wav |", "cat with '-n'"),
        ("cat '' |", "cat of 1 files|cat of"),
        ("flac -d a.flac |", "flac without -c -d"),
        ("wav-copy ark:a.ark ark:- |", "wav-copy without one place and -"),
        ("wav-copy '|touch x' - |", "a pipe to write to"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_quoted(text: str, what: str) -> None:
    with pytest.raises(CorpusError, match=what) as raised:
        parse_source(text, "wav.scp:7")
    assert str(raised.value).startswith("wav.scp:7: ")
    assert repr(text) in str(raised.value)


def test_no_line_starts_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    for module, names in (("subprocess", ["Popen"]), ("os", ["system", "fork", "execvp"])):
        for name in names:
            monkeypatch.setattr(f"{module}.{name}", refuse)
    with pytest.raises(AssertionError):
        subprocess.run(["true"], check=True)
    parse_source("flac -c -d -s a.flac | sox -t wav - -t wav - |", "wav.scp:1")
    with pytest.raises(CorpusError):
        parse_source('sox "|touch x" -t wav - |', "wav.scp:1")


def test_a_huge_line_is_quoted_in_part() -> None:
    with pytest.raises(CorpusError) as raised:
        parse_source("cat " + "x " * 1_000_000 + "|", "wav.scp:1")
    assert len(str(raised.value)) < 1000


def test_every_form_in_the_docs_is_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
    rows = text.split("| form | is taken as |")[1].split("\n\n")[0].splitlines()[2:]
    forms = [form for row in rows for form in re.findall("`([^`]+)`", row.split(" | ")[0])]
    meant = {"R": "16000", "B": "16", "N": "2", "X": "0.9", "...": ""}
    for form in forms:
        words = re.sub(r"[\[\]\\\\]", "", form).split(" ")
        parse_source(" ".join(meant.get(word, word) for word in words), "wav.scp:1")
    assert len(forms) == 9
