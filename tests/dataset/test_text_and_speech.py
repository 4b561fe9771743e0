"""Sequences of text and speech in one vocabulary: what is where, and what is learned."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, write_manifest
from featbank.base.units import deduplicate
from featbank.dataset import FeatureDataset
from featbank.dataset.tokens.speech_tasks import Interleaved, SpeechTask, SpeechToText, TextToSpeech
from featbank.dataset.tokens.text_and_speech import TextAndSpeech
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.sequences import Vocabulary
from featbank.store import StoreWriter

FRAMING = Framing(sample_rate=16000, window_length=320, hop_length=320)  # middles at 0.01, 0.03 ...
TEXTS = {"a-0": "one two three four", "a-1": "five six", "b-0": "seven"}
WORDS = {
    # silence before "one", behind "two", and "three" shorter than a frame
    "a-0": [
        [0, 0.06, "sil"],
        [0.06, 0.1, "one"],
        [0.1, 0.14, "two"],
        [0.14, 0.2, ""],
        [0.2, 0.205, "three"],
        [0.205, 0.3, "four"],
    ],
    "a-1": [[0.02, 0.1, "five"], [0.1, 0.2, "six"]],
    "b-0": [],
}
FRAMES = {"a-0": 15, "a-1": 10, "b-0": 4}
VOCABULARY = Vocabulary(
    text_size=256, special=["<text>", "<speech>", "<end>", "<tts>"], codebook_sizes=[100]
)
TEXT, SPEECH, END, TTS = 256, 257, 258, 259
AUDIO = 260


def units(utterance_id: str) -> np.ndarray[Any, Any]:
    """Units that tell their frame."""
    return np.arange(FRAMES[utterance_id]) + 20 * list(FRAMES).index(utterance_id)


def spell(text: str) -> list[int]:
    return list(text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with StoreWriter(
        tmp_path / "units", name="units", codebook_size=100, framing=FRAMING, frame_rate=50.0
    ) as writer:
        for utterance_id in TEXTS:
            writer.write(utterance_id, units(utterance_id))
    write_manifest(
        tmp_path / "all.jsonl",
        [
            Utterance(
                id=one,
                audio=f"{one}.wav",
                audio_digest="sha256:0",
                sample_rate=16000,
                num_samples=320 * FRAMES[one],
                text=text,
                part=one[0],
            )
            for one, text in TEXTS.items()
        ],
    )
    lines = [json.dumps({"id": one, "labels": labels}) for one, labels in WORDS.items()]
    (tmp_path / "words.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def sequences(folder: Path, task: SpeechTask, **options: Any) -> TextAndSpeech:
    dataset = FeatureDataset(
        {"units": folder / "units"},
        manifest=folder / "all.jsonl",
        fields=["text", "part"],
        ids=options.pop("ids", None),
    )
    settings = {"vocabulary": VOCABULARY, "tokenize": spell, "labels": folder / "words.jsonl"}
    return TextAndSpeech(dataset, task, **{**settings, **options})


def shown(tokens: torch.Tensor) -> list[Any]:
    """Words as text, units as ranges, marks by their names."""
    names = {TEXT: "<text>", SPEECH: "<speech>", END: "<end>", TTS: "<tts>"}
    found: list[Any] = []
    for one in tokens.tolist():
        if one in names:
            found.append(names[one])
        elif one < AUDIO:
            if found[-1] in names.values():
                found.append("")
            found[-1] += chr(one)
        elif isinstance(found[-1], range):
            assert one - AUDIO == found[-1].stop
            found[-1] = range(found[-1].start, found[-1].stop + 1)
        else:
            found.append(range(one - AUDIO, one - AUDIO + 1))
    return found


def test_text_comes_before_the_speech_that_is_learned(folder: Path) -> None:
    item = sequences(folder, TextToSpeech(mark="<tts>"))[1]
    assert shown(item.tokens) == [
        "<tts>", "<text>", "five six", "<speech>", range(20, 30), "<end>",
    ]  # fmt: skip
    assert item.is_speech.tolist() == [20 + AUDIO <= one < 30 + AUDIO for one in item.tokens]
    # not the mark, which the prompt ends with
    assert item.loss_mask.tolist() == [False] * 11 + [True] * 11
    assert item.labels.tolist() == [-100] * 11 + item.tokens[11:].tolist()
    assert int(item.lengths) == len(item.tokens) == 22


def test_speech_comes_before_the_text_that_is_learned(folder: Path) -> None:
    item = sequences(folder, SpeechToText())[2]
    assert shown(item.tokens) == ["<speech>", range(40, 44), "<text>", "seven", "<end>"]
    assert item.loss_mask.tolist() == [False] * 6 + [True] * 6
    whole = sequences(folder, SpeechToText(learn_prompt=True))[2]
    assert whole.loss_mask.tolist() == [False] + [True] * 11, "all but the first is predicted"


def turns(folder: Path, seed: int, **options: Any) -> list[Any]:
    task = Interleaved(shortest=1, longest=2)
    return shown(sequences(folder, task, seed=seed, **options)[0].tokens)


def test_words_are_text_or_speech_by_turns_and_none_is_lost(folder: Path) -> None:
    frames = {"one": range(5), "two": range(5, 10), "four": range(10, 15)}
    seen = set()
    for seed in range(40):
        parts = turns(folder, seed)
        assert parts.pop() == "<end>"
        marks, contents = parts[::2], parts[1::2]
        assert marks == ["<speech>" if isinstance(one, range) else "<text>" for one in contents]
        assert all(before != after for before, after in pairwise(marks))
        given = []
        for one in contents:
            if isinstance(one, range):
                words = [word for word, has in frames.items() if {*has} <= {*one}]
                assert sum(len(frames[word]) for word in words) == len(one)
                given += words
            else:
                given += one.split()
        # a word without a frame is told only by text, or by the speech around it
        assert [word for word in given if word != "three"] == ["one", "two", "four"]
        if "three" not in given:
            place = next(
                one for one in contents if isinstance(one, range) and 10 in {one.start, one.stop}
            )
            assert place
        seen.add(str(contents))
    assert len(seen) > 8
    assert turns(folder, 0) == turns(folder, 0)


def test_speech_without_a_frame_is_given_as_text(folder: Path) -> None:
    said = [one for seed in range(40) for one in turns(folder, seed) if isinstance(one, str)]
    assert any("three" in one.split() for one in said)
    task = Interleaved(shortest=1, longest=1)
    for seed in range(20):
        parts = shown(sequences(folder, task, seed=seed)[0].tokens)
        assert "three" in " ".join(one for one in parts if isinstance(one, str))


def test_turns_are_drawn_anew_in_another_epoch(folder: Path) -> None:
    task = Interleaved(shortest=1, longest=2)
    found = sequences(folder, task)
    epochs = [shown(found.in_epoch(epoch)[0].tokens) for epoch in range(10)]
    assert len({*map(str, epochs)}) > 3
    assert epochs[0] == shown(found[0].tokens), "the others do not change this one"
    assert found.made_from() != found.in_epoch(1).made_from()
    of_numpy = sequences(folder, task, seed=np.int64(0), epoch=np.int32(0))
    assert [shown(of_numpy.in_epoch(np.int64(n))[0].tokens) for n in range(10)] == epochs
    assert of_numpy.made_from() == found.made_from()


def test_all_that_is_interleaved_is_learned(folder: Path) -> None:
    item = sequences(folder, Interleaved(shortest=1, longest=1))[0]
    assert item.loss_mask.tolist() == [False] + [True] * (len(item.tokens) - 1)


def test_an_utterance_without_words_is_speech(folder: Path) -> None:
    for seed in range(4):
        item = sequences(folder, Interleaved(), seed=seed)[2]
        assert shown(item.tokens) == ["<speech>", range(40, 44), "<end>"]


@pytest.mark.parametrize("longest", [2, 8])
def test_an_utterance_without_words_is_speech_among_words(folder: Path, longest: int) -> None:
    """Whoever's turn it is: as text its frames would be lost."""
    task = Interleaved(shortest=longest // 2, longest=longest)
    for seed in range(20):
        found = sequences(folder, task, seed=seed, ids=["a-1", "b-0", "a-0"], together=3)[0]
        heard = (found.tokens - AUDIO).tolist()
        assert [one for one in heard if one in range(40, 44)] == [*range(40, 44)]
        assert "  " not in "".join(map(chr, found.tokens[found.tokens < TEXT].tolist()))


def test_whole_utterances_take_turns_too(folder: Path) -> None:
    task = Interleaved(at="utterances", shortest=1, longest=1)
    seen = set()
    for seed in range(10):
        found = sequences(folder, task, seed=seed, together=5, within="part", labels=None)
        assert len(found) == 2, "b-0 is of another part"
        seen.add(str(shown(found[0].tokens)))
    assert seen == {
        str(["<text>", "one two three four", "<speech>", range(20, 30), "<end>"]),
        str(["<speech>", range(15), "<text>", "five six", "<end>"]),
    }
    assert len(sequences(folder, task, together=1)) == 3
    assert len(sequences(folder, task, together=2)) == 2


def test_runs_are_merged_and_encoded_by_piece(folder: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "repeats", name="units", codebook_size=100) as writer:
        for utterance_id in TEXTS:
            writer.write(utterance_id, units(utterance_id) // 3)

    class Pairs:
        num_units, vocab_size = 100, 120

        def encode(self, units: Any) -> Any:
            return units[::2] + 20

    dataset = FeatureDataset(
        {"units": tmp_path / "repeats"}, manifest=folder / "all.jsonl", ids=["a-0"]
    )
    vocabulary = Vocabulary(
        text_size=256, special=["<text>", "<speech>", "<end>"], codebook_sizes=[120]
    )
    found = TextAndSpeech(
        dataset,
        TextToSpeech(),
        vocabulary=vocabulary,
        tokenize=spell,
        deduplicated=True,
        encoder=Pairs(),
    )[0]
    merged, _ = deduplicate(units("a-0") // 3)
    assert found.tokens[found.is_speech].tolist() == [*(merged[::2] + 20 + 259)]


def test_codes_are_given_frame_by_frame(folder: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "codes", name="codes", codebook_size=10, time_axis=-1) as writer:
        writer.write("b-0", np.array([[1, 2, 3], [4, 5, 6]]))
    dataset = FeatureDataset(
        {"codes": tmp_path / "codes"}, manifest=folder / "all.jsonl", skip_missing=True
    )
    vocabulary = Vocabulary(
        text_size=256, special=["<text>", "<speech>", "<end>"], codebook_sizes=[10, 10]
    )
    item = TextAndSpeech(dataset, SpeechToText(), vocabulary=vocabulary, tokenize=spell)[0]
    assert item.tokens[item.is_speech].tolist() == [259 + n for n in (1, 14, 2, 15, 3, 16)]


def test_a_loader_pads_with_what_is_no_target(folder: Path) -> None:
    found = sequences(folder, TextToSpeech())
    loader = DataLoader(found, batch_size=3, collate_fn=found.collate, num_workers=1)
    (batch,) = loader
    assert batch.lengths.tolist() == [len(item.tokens) for item in found]
    for row, item in enumerate(found):
        length = len(item.tokens)
        assert batch.tokens[row, :length].equal(item.tokens)
        assert batch.labels[row, :length].equal(item.labels)
        assert not batch.loss_mask[row, length:].any()
        assert not batch.is_speech[row, length:].any()


def test_a_loader_that_does_not_pad_is_told_how(folder: Path) -> None:
    found = sequences(folder, TextToSpeech())
    with pytest.raises(ConfigError, match=r"one length, got .*collate_fn=sequences.collate"):
        next(iter(DataLoader(found, batch_size=3)))
    batch = next(iter(DataLoader(found, batch_size=1)))
    assert torch.equal(batch.labels, found[0].labels[None])


def test_frames_without_a_grid_are_placed_by_their_rate(tmp_path: Path) -> None:
    # as a recipe writes them; middles fall on the border of a word to the last digit
    with StoreWriter(
        tmp_path / "plain", name="units", codebook_size=100, frame_rate=10.0,
        first_frame_center_s=0.1,
    ) as writer:  # fmt: skip
        writer.write("a-1", np.arange(6))
    words = tmp_path / "borders.jsonl"
    words.write_text('{"id": "a-1", "labels": [[0.1, 0.3, "five"], [0.3, 0.7, "six"]]}\n')
    dataset = FeatureDataset({"units": tmp_path / "plain"})
    for seed in range(10):
        item = TextAndSpeech(
            dataset,
            Interleaved(shortest=1, longest=1),
            vocabulary=VOCABULARY,
            tokenize=spell,
            labels=words,
            seed=seed,
        )[0]
        assert shown(item.tokens) in (
            ["<text>", "five", "<speech>", range(2, 6), "<end>"],
            ["<speech>", range(2), "<text>", "six", "<end>"],
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": None}, "labels: expected a file of aligned words, got none"),
        ({"vocabulary": Vocabulary(text_size=256, codebook_sizes=[100])}, "special token"),
        (
            {
                "vocabulary": Vocabulary(
                    text_size=256, special=["<text>", "<speech>", "<end>"], codebook_sizes=[90]
                )
            },
            r"codebook_sizes of the vocabulary: expected \[100\], got \[90\]",
        ),
        ({"units": "codes"}, "units: expected units, got codes"),
        ({"together": 0}, "together: expected 1 or more utterances"),
        ({"within": "speaker"}, "expected speaker among them, got text, part"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeatbankError, match=message):
        sequences(folder, Interleaved(), **options)


def test_an_utterance_without_a_text_or_words_is_refused_before_training(folder: Path) -> None:
    lines = (folder / "words.jsonl").read_text().splitlines(keepends=True)
    (folder / "words.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(ConfigError, match="utterance 'b-0': expected aligned words, got none"):
        sequences(folder, Interleaved())
    assert len(sequences(folder, Interleaved(), ids=["a-1", "a-0"])) == 2
    manifest = (folder / "all.jsonl").read_text()
    (folder / "all.jsonl").write_text(manifest.replace('"five six"', '""'))
    with pytest.raises(ConfigError, match="utterance 'a-1': expected a text, got none"):
        sequences(folder, SpeechToText())


def test_ids_of_a_tokenizer_beyond_the_vocabulary_are_refused(folder: Path) -> None:
    found = sequences(folder, TextToSpeech(), tokenize=lambda text: [len(text) + 250])
    with pytest.raises(FeatbankError, match="token ids of 'five six'"):
        found[1]


@pytest.mark.parametrize(
    "given", [["five", "six"], ["5", "6"], [1.5, 2.0], {"input_ids": [1]}, [[1, 2]], [[1], [2, 3]]]
)
def test_what_a_tokenizer_gives_is_ids_or_refused(folder: Path, given: Any) -> None:
    found = sequences(folder, TextToSpeech(), tokenize=lambda _: given)
    with pytest.raises(ConfigError, match=r"tokenize gives for 'five six'.*\.input_ids"):
        found[1]
    tensors = sequences(folder, TextToSpeech(), tokenize=lambda _: torch.tensor([5, 6]))
    assert tensors[1].tokens[:3].tolist() == [TEXT, 5, 6]


def test_merged_units_have_no_time_to_hold_words_against(folder: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "merged", name="units", codebook_size=100) as writer:
        writer.write("a-1", np.arange(6))
    with pytest.raises(ConfigError, match="frame_rate and first_frame_center_s"):
        TextAndSpeech(
            FeatureDataset({"units": tmp_path / "merged"}),
            Interleaved(),
            vocabulary=VOCABULARY,
            tokenize=spell,
            labels=folder / "words.jsonl",
        )
    with StoreWriter(tmp_path / "floats", name="fbank", frame_rate=50.0) as writer:
        writer.write("a-1", np.zeros((6, 2)))
    floats = FeatureDataset({"fbank": tmp_path / "floats"})
    with pytest.raises(StoreError, match="integers"):
        TextAndSpeech(floats, TextToSpeech(), vocabulary=VOCABULARY, tokenize=spell)


def test_a_dataset_without_a_manifest_is_told_what_it_lacks(folder: Path) -> None:
    with pytest.raises(ConfigError, match="expected text among them, got none"):
        TextAndSpeech(
            FeatureDataset({"units": folder / "units"}),
            TextToSpeech(),
            vocabulary=VOCABULARY,
            tokenize=spell,
        )
