"""Whoever is sought is known by every name that rows, texts and files have for them."""

from __future__ import annotations

import html
import json

import pytest

from featbank.base.sought import Sought, Traces


def sought(*ids: str, speakers: tuple[str, ...] = (), prefixes: tuple[str, ...] = ()) -> Sought:
    return Sought(ids=frozenset(ids), speakers=frozenset(speakers), prefixes=prefixes)


@pytest.mark.parametrize(
    ("utterance_id", "is_sought"),
    [
        ("bo/1", True),
        ("sp0.9-bo/1", True),
        ("bo/1-ch0", True),
        ("sp1.1-bo/1-ch1", True),
        ("bo/10", False),
        ("bo/1-channel", False),
        ("spbo/1", False),
        ("other/bo/1", False),
    ],
)
def test_what_was_made_of_an_utterance_belongs_to_it(utterance_id: str, is_sought: bool) -> None:
    assert sought("bo/1").has_id(utterance_id) is is_sought
    assert Traces(sought("bo/1")).has_id(utterance_id) is is_sought
    assert (Traces(sought("bo/1")).in_text(f'{{"id":"{utterance_id}"}}')[0] != set()) is is_sought


def test_a_variant_that_is_asked_for_is_not_what_it_was_made_of() -> None:
    assert not sought("sp0.9-a1").has_id("a1")
    assert sought("sp0.9-a1").has_id("sp0.9-a1-ch0")


def test_rows_of_a_speaker_are_known_by_id_in_every_version() -> None:
    traces = Traces(sought(speakers=("bo",)))
    for utterance_id, speaker in (("u1", "bo"), ("sp0.9-u2", "sp0.9-bo"), ("u3", "bob")):
        traces.add_row(utterance_id, speaker, f"{utterance_id}.wav")
    traces.add_row("u4-ch0", "bo-ch0", "u4.wav")
    assert traces.ids == {"u1", "sp0.9-u2", "u4-ch0"}
    assert traces.has_id("u1-ch0")
    assert not traces.has_id("u3")


@pytest.mark.parametrize(
    "utterance_id", ["bo-1", "a b", "Zoë/1", 'x"y', "a&b<c", "17", "xy", "a,b"]
)
def test_an_id_is_found_in_every_form_that_files_have_for_it(utterance_id: str) -> None:
    traces = Traces(sought(utterance_id))
    for text in (
        json.dumps({"id": utterance_id, "n": 171}),
        json.dumps([utterance_id], ensure_ascii=False),
        f"<td>{html.escape(utterance_id)}</td>",
        f"{utterance_id}\n",
        f"first\n{utterance_id}\tsecond\n",
    ):
        assert traces.in_text(text) == ({utterance_id}, True), text


def test_what_only_looks_like_somebody_is_not_them() -> None:
    traces = Traces(sought("bo-1", "17", "xy", speakers=("7",)))
    assert traces.in_text('{"n":17,"m":[7,17],"t":"xyz bo-10 abo-1 x17"} 0.17') == (set(), False)
    assert traces.in_text('{"speaker":"7"}') == (set(), True)


def test_audio_is_known_by_the_path_that_its_row_states() -> None:
    traces = Traces(sought(prefixes=("bo/",)))
    traces.add_row("bo/1", "", "bo/1.flac")
    traces.add_row("bo/2", "", "a/0.tar!/bo/2.flac@512+9")
    assert traces.in_file("corpora/x/bo/1.flac") == {"bo/1"}
    assert traces.in_file("corpora/x/a/0.tar") == {"bo/2"}
    assert not traces.in_file("corpora/x/bo/3.flac")
    assert traces.in_text("see corpora/x/bo/1.flac.") == ({"bo/1"}, True)
    assert traces.in_text("see a/0.tar") == (set(), False)  # others are in it, too


def test_the_same_samples_are_the_same_person_where_that_is_asked_for() -> None:
    for is_asked in (True, False):
        traces = Traces(Sought(speakers=frozenset(["bo"]), same_audio=is_asked))
        for _ in range(2):  # who is sought may come behind who has the same samples
            traces.add_row("x9", "ann", "y.wav", "md5:1 0 9 0")
            traces.add_row("x8", "ann", "z.wav", "md5:2 0 9 0")
            traces.add_row("u1", "bo", "u.wav", "md5:1 0 9 0")
        assert traces.ids == ({"u1", "x9"} if is_asked else {"u1"})


@pytest.mark.parametrize(
    ("text", "is_sure"),
    [
        ("<td>17</td>", False),
        ('{"speaker":"84"}', False),
        ('{"speaker":"84","id":"bo-1"}', True),
        ('["june_fr"]', True),
        ("nobody", False),
    ],
)
def test_a_number_or_a_short_word_alone_is_no_sure_sign(text: str, is_sure: bool) -> None:
    assert Traces(sought("17", "bo-1", speakers=("84", "june_fr"))).is_sure(text) is is_sure
