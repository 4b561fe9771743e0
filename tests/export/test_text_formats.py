"""ESPnet's token text, fairseq's labels and NeMo's manifests, line by line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.base.manifest import read_manifest, write_manifest
from featbank.corpora.layouts.nemo import NemoCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, StoreError
from featbank.export import (
    export_espnet,
    export_fairseq,
    export_nemo,
)
from featbank.sequences import deduplicate, unflatten
from featbank.store import StoreWriter
from tests.export.conftest import NUM_CODEBOOKS, NUM_UNITS, SPLITS, Demo


def lines_of(path: Path) -> list[list[str]]:
    return [line.split(" ") for line in path.read_text().splitlines()]


# -- ESPnet --------------------------------------------------------------------------------------


def test_token_text_has_an_utterance_a_line_in_the_order_of_ids(demo: Demo, tmp_path: Path) -> None:
    export_espnet([demo.folder / "units", demo.folder / "codes"], tmp_path / "out")
    for split in SPLITS:
        units, codes = demo.store("units", split), demo.store("codes", split)
        lines = lines_of(tmp_path / "out" / split / "units")
        assert [one for one, *_ in lines] == demo.ids(split)
        for one, *tokens in lines:
            assert list(map(int, tokens)) == units[one].tolist()
        for one, *tokens in lines_of(tmp_path / "out" / split / "codes"):
            flat = np.array(tokens, np.int64)
            found = unflatten(flat, NUM_CODEBOOKS, NUM_UNITS)
            np.testing.assert_array_equal(found.reshape(codes[one].shape), codes[one])


def test_repeats_are_left_out_where_that_is_asked_for(demo: Demo, tmp_path: Path) -> None:
    export_espnet(demo.folder / "units", tmp_path / "out", deduplicate=True)
    store = demo.store("units", "dev")
    for one, *tokens in lines_of(tmp_path / "out" / "dev" / "units"):
        assert list(map(int, tokens)) == deduplicate(store[one])[0].tolist()


# -- fairseq -------------------------------------------------------------------------------------


def test_the_lines_of_labels_and_audio_belong_together(demo: Demo, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given: dict[str, Any] = {"manifests": demo.manifests, "audio_root": demo.audio_root}
    export_fairseq(demo.folder / "units", out, **given)
    for split in SPLITS:
        root, *audio = (out / f"{split}.tsv").read_text().splitlines()
        labels = (out / f"{split}.km").read_text().split("\n")[:-1]
        assert len(labels) == len(audio)
        store = demo.store("units", split)
        for one, line, units in zip(demo.ids(split), audio, labels, strict=True):
            path, _, num_samples = line.partition("\t")
            assert soundfile.info(Path(root, path)).frames == int(num_samples)
            assert list(map(int, units.split())) == store[one].tolist()
    known = [line.split() for line in (out / "dict.km.txt").read_text().splitlines()]
    assert known == [[str(one), "1"] for one in range(NUM_UNITS)]


def test_fairseq_refuses_codes_and_parts_of_files(demo: Demo, tmp_path: Path) -> None:
    given: dict[str, Any] = {"audio_root": demo.audio_root, "splits": ["dev"]}
    with pytest.raises(ConfigError, match=r"expected units \(T,\): one a frame"):
        export_fairseq(demo.folder / "codes", tmp_path / "out", manifests=demo.manifests, **given)
    rows = read_manifest(demo.manifests / "dev.jsonl")
    for change, problem in (
        ({"start_sample": 5}, "a part of a file"),
        ({"channel": 1}, "a channel of a file"),
        ({"speed": 0.9}, "a file at another speed"),
        ({"audio": "x.tar!/a.flac@512+9"}, "audio inside another file"),
    ):
        changed = [*rows[:3], replace(rows[3], **change), *rows[4:]]
        write_manifest(tmp_path / "m" / "dev.jsonl", changed)
        with pytest.raises(StoreError, match=f"{rows[3].id}.*got {problem}"):
            export_fairseq(
                demo.folder / "units", tmp_path / "out", manifests=tmp_path / "m", **given
            )


@pytest.mark.parametrize(
    ("num_samples", "channels", "problem"),
    [(20_000, 1, "a part of a file"), (16_000, 2, "a channel of a file")],
)
def test_a_file_that_holds_more_than_its_utterance_is_refused_though_both_begin_together(
    tmp_path: Path, num_samples: int, channels: int, problem: str
) -> None:
    (tmp_path / "c").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (num_samples, channels))
    soundfile.write(tmp_path / "c" / "x.flac", noise, 16_000)
    table = "path\tid\tstart\tduration\tchannel\tsplit\nx.flac\ta\t0\t1\t0\ttrain\n"
    (tmp_path / "c" / "t.tsv").write_text(table)
    corpus = TableCorpus(name="c", root=tmp_path / "c", license="", table="t.tsv")
    prepare(corpus, tmp_path / "m", failures_path=tmp_path / "failures.jsonl")
    with StoreWriter(tmp_path / "units" / "train", name="units", codebook_size=10) as writer:
        writer.write("a", np.arange(5))
    given: dict[str, Any] = {"manifests": tmp_path / "m", "audio_root": tmp_path / "c"}
    with pytest.raises(StoreError, match=f"'a' in fairseq.*got {problem}"):
        export_fairseq(tmp_path / "units", tmp_path / "out", **given)
    if channels == 1:  # NeMo says how long a part is
        export_nemo(tmp_path / "units", tmp_path / "out", **given)
        return
    with pytest.raises(StoreError, match=f"'a' in NeMo.*got {problem}"):
        export_nemo(tmp_path / "units", tmp_path / "out", **given)


def test_fairseq_refuses_labels_that_would_share_a_file(demo: Demo, tmp_path: Path) -> None:
    given: dict[str, Any] = {"manifests": demo.manifests, "audio_root": demo.audio_root}
    units = demo.folder / "units"
    for stores in ([f"tsv={units}"], [units, f"km={units}"]):
        with pytest.raises(ConfigError, match="a name that nothing else has there"):
            export_fairseq(stores, tmp_path / "out", **given)


def test_fairseq_and_nemo_say_what_they_need_to_know_of_the_audio(
    demo: Demo, tmp_path: Path
) -> None:
    for export in (export_fairseq, export_nemo):
        with pytest.raises(ConfigError, match="give --manifests"):
            export(demo.folder / "units", tmp_path / "out")
        with pytest.raises(ConfigError, match="give --audio-root"):
            export(demo.folder / "units", tmp_path / "out", manifests=demo.manifests)


# -- NeMo ----------------------------------------------------------------------------------------


def test_a_nemo_manifest_names_audio_that_is_there_with_its_tokens(
    demo: Demo, tmp_path: Path
) -> None:
    export_nemo(
        [demo.folder / "units", demo.folder / "codes"],
        tmp_path / "out",
        manifests=demo.manifests,
        audio_root=demo.audio_root,
    )
    for split in SPLITS:
        rows = read_manifest(demo.manifests / f"{split}.jsonl")
        lines = (tmp_path / "out" / f"{split}.json").read_text().splitlines()
        for line, row in zip(lines, rows, strict=True):
            said = json.loads(line)
            info = soundfile.info(said["audio_filepath"])
            assert said["duration"] == info.frames / info.samplerate == row.duration_s
            assert (said["text"], said["speaker"]) == (row.text, row.speaker)
            assert "offset" not in said
            for name in ("units", "codes"):
                assert said[name] == demo.store(name, split)[row.id].tolist()


def test_nemo_refuses_what_its_paths_cannot_say(demo: Demo, tmp_path: Path) -> None:
    rows = read_manifest(demo.manifests / "dev.jsonl")
    for change, problem in (
        ({"channel": 1}, "a channel of a file"),
        ({"speed": 1.1}, "a file at another speed"),
        ({"audio": "x.tar!/a.flac@512+9"}, "audio inside another file"),
    ):
        write_manifest(tmp_path / "m" / "dev.jsonl", [replace(rows[0], **change), *rows[1:]])
        with pytest.raises(StoreError, match=f"{rows[0].id}.*got {problem}"):
            export_nemo(
                demo.folder / "units",
                tmp_path / "out",
                manifests=tmp_path / "m",
                audio_root=demo.audio_root,
                splits=["dev"],
            )


def test_another_folder_of_audio_is_refused_by_the_first_file_it_lacks(
    demo: Demo, tmp_path: Path
) -> None:
    (tmp_path / "audio").mkdir()
    with pytest.raises(ConfigError, match=r"expected .*flac, the audio of .*, got nothing there"):
        export_fairseq(
            demo.folder / "units",
            tmp_path / "out",
            manifests=demo.manifests,
            audio_root=tmp_path / "audio",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("start", [8000, 0])
def test_a_part_of_a_file_has_an_offset_and_is_read_as_that_part(
    demo: Demo, tmp_path: Path, start: int
) -> None:
    rows = read_manifest(demo.manifests / "dev.jsonl")
    changed = replace(rows[0], start_sample=start, num_samples=4000)
    write_manifest(tmp_path / "m" / "dev.jsonl", [changed, *rows[1:]])
    export_nemo(
        demo.folder / "units",
        tmp_path / "out",
        manifests=tmp_path / "m",
        audio_root=demo.audio_root,
        splits=["dev"],
    )
    said = json.loads((tmp_path / "out" / "dev.json").read_text().splitlines()[0])
    assert (said["offset"], said["duration"]) == (start / 16_000, 0.25)
    manifests = {"dev": str(tmp_path / "out" / "dev.json")}
    corpus = NemoCorpus(name="c", root=demo.audio_root, license="", manifests=manifests)
    prepare(corpus, tmp_path / "again", failures_path=tmp_path / "failures.jsonl")
    assert changed in read_manifest(tmp_path / "again" / "dev.jsonl")
