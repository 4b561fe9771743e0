"""What `featbank info`, `ls`, `verify` and `head` say of a store."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.failures import Failure
from featbank.cli import main
from featbank.store import StoreWriter, open_store
from tests.extracting import files
from tests.flipping import flip, flip_in, fullest_shard
from tests.waiting import running

pytestmark = pytest.mark.usefixtures("on_terminal")

Capture = pytest.CaptureFixture[str]


def write(path: Path, ids: list[str], *, part: str = "", **options: Any) -> Path:
    """Write a store whose utterance number n holds 10 * n frames of the value n."""
    settings: dict[str, Any] = {
        "name": "fbank",
        "dtype": "float32",
        "frame_rate": 100.0,
        "shard_bytes": 3000,
        "shape": (4,),
        "fingerprint": "f" * 64,
        "numerics": {"device": "cpu", "threads": 1},
        "provenance": {"corpus": {"name": "demo"}, "split": path.name},
        **options,
    }
    with StoreWriter(path, **settings) as writer:
        for number, utterance_id in enumerate(ids):
            values = np.full((10 * number, 4), number, np.float32)
            writer.write(utterance_id, values, part=part)
        writer.fail(Failure(id="~failed", audio="x.wav", error="empty"))
    return path


def ids(number: int) -> list[str]:
    return [f"spk{one // 10}/u{one:03d}" for one in range(number)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / "dev", ids(30))


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    write(tmp_path / "fbank" / "dev", ids(4))
    write(tmp_path / "fbank" / "train", [f"t{one}" for one in ids(20)])
    return tmp_path / "fbank"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def given(capsys: Capture, *arguments: object) -> Any:
    """Return what a command prints as JSON."""
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def shown(capsys: Capture, *arguments: object) -> str:
    """Return what a command prints for people, spaces and lines of its tables taken out."""
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    return "\n".join(" ".join(line.replace("│", " ").split()) for line in text.splitlines())


def test_info_says_what_the_store_is(capsys: Capture, store: Path) -> None:
    facts = given(capsys, "info", store)
    sizes = [shard.num_bytes for shard in open_store(store).shards]
    expected = {
        "path": str(store),
        "name": "fbank",
        "dtype": "float32",
        "stored_dtype": "float32",
        "shape": [4],
        "time_axis": 0,
        "frame_rate": 100.0,
        "codebook_size": None,
        "compression": None,
        "num_utterances": 30,
        "num_frames": 4350,
        "duration_s": 43.5,
        "num_bytes": sum(sizes),
        "num_shards": len(sizes),
        "smallest_shard_bytes": min(sizes),
        "largest_shard_bytes": max(sizes),
        "num_failures": 1,
        "fingerprint": "f" * 64,
        "numerics": [{"device": "cpu", "threads": 1}],
        "provenance": {"corpus": {"name": "demo"}, "split": "dev"},
        "splits": {},
    }
    assert {name: facts[name] for name in expected} == expected
    text = shown(capsys, "info", store)
    for line in (
        "dtype float32",
        "shape (T, 4)",
        "frame rate 100 Hz",
        "utterances 30",
        "failures 1",
        "frames 4,350",
        "hours 0.012",
        f"fingerprint {'f' * 64}",
        "threads 1",
        "corpus.name demo",
        "split dev",
    ):
        assert line in text.splitlines()
    assert f"shards {len(sizes)}, {min(sizes):,} bytes to {max(sizes):,} bytes" in text


def test_info_shows_each_split_and_where_their_origins_differ(
    capsys: Capture, splits: Path
) -> None:
    facts = given(capsys, "info", splits)
    assert (facts["num_utterances"], facts["num_failures"]) == (24, 2)
    assert [amounts["num_utterances"] for amounts in facts["splits"].values()] == [4, 20]
    assert facts["splits"]["dev"]["num_frames"] == 60
    lines = shown(capsys, "info", splits).splitlines()
    assert any(line.startswith("dev 4 60 0.00017 ") for line in lines)
    assert "corpus.name demo" in lines
    assert "split (dev) dev" in lines
    assert "split (train) train" in lines


def test_info_of_a_store_without_a_frame(capsys: Capture, tmp_path: Path) -> None:
    store = write(tmp_path / "s", [], frame_rate=None)
    facts = given(capsys, "info", store)
    assert (facts["num_frames"], facts["duration_s"], facts["num_shards"]) == (0, None, 0)
    assert facts["smallest_shard_bytes"] is None
    assert "frame rate varies" in shown(capsys, "info", store)


def test_info_of_tokens_names_their_codebook_and_axis(capsys: Capture, tmp_path: Path) -> None:
    with StoreWriter(
        tmp_path / "s", name="codes", codebook_size=1024, time_axis=-1, frame_rate=75.0
    ) as writer:
        writer.write("a", np.full((8, 150), 1023))
    facts = given(capsys, "info", tmp_path / "s")
    assert (facts["codebook_size"], facts["time_axis"]) == (1024, -1)
    assert (facts["stored_dtype"], facts["duration_s"]) == ("uint16", 2.0)
    text = shown(capsys, "info", tmp_path / "s")
    assert "codebook 1,024 tokens" in text
    assert "shape (8, T)" in text
    assert "loss none" in text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8_scaled"])
def test_info_says_what_was_lost(capsys: Capture, tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    with StoreWriter(tmp_path / "s", name="x", dtype=dtype) as writer:
        writer.write("a", values)
    read = open_store(tmp_path / "s")["a"]
    facts = given(capsys, "info", tmp_path / "s")
    assert (facts["dtype"], facts["stored_dtype"]) == (read.dtype.name, dtype)
    errors = np.abs(read.astype(np.float64) - values)
    assert facts["max_abs_error"] == pytest.approx(errors.max(), rel=1e-4)
    assert facts["mean_abs_error"] == pytest.approx(errors.mean(), rel=1e-4)
    text = shown(capsys, "info", tmp_path / "s")
    assert f"loss errors up to {errors.max():.3g}" in text
    assert (f"dtype float32, stored as {dtype}" in text) == (dtype != "float16")


def test_ls_gives_the_first_utterances_and_says_how_many_more(capsys: Capture, store: Path) -> None:
    listed = given(capsys, "ls", store)
    assert (listed["total"], listed["more"], len(listed["utterances"])) == (30, 10, 20)
    assert listed["utterances"][3] == {
        "split": "",
        "part": "",
        "id": "spk0/u003",
        "num_frames": 30,
        "duration_s": 0.3,
    }
    *_, last, _, more = shown(capsys, "ls", store, "--limit", 4).splitlines()
    assert last == "spk0/u003 30 0.30"
    assert more == "26 more of 30 utterances: --limit 0 lists all"


def test_ls_can_list_all(capsys: Capture, store: Path) -> None:
    listed = given(capsys, "ls", store, "--limit", 0)
    assert [row["id"] for row in listed["utterances"]] == ids(30)
    assert [row["num_frames"] for row in listed["utterances"]] == [10 * one for one in range(30)]
    assert listed["more"] == 0
    assert "more" not in shown(capsys, "ls", store, "--limit", 0)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("spk1", range(10, 20)),
        ("spk1/u01", range(10, 20)),
        ("spk2/u029", [29]),
        ("s", range(30)),
        ("", range(30)),
        ("spk0/u005x", []),
        ("a", []),
        ("z", []),
    ],
)
def test_ls_finds_ids_by_their_beginning(
    capsys: Capture, store: Path, prefix: str, found: Any
) -> None:
    assert len(open_store(store).shards) > 5
    listed = given(capsys, "ls", store, "--prefix", prefix, "--limit", 0)
    assert [row["id"] for row in listed["utterances"]] == [ids(30)[one] for one in found]
    assert listed["total"] == len(found)


def test_ls_opens_only_the_shards_whose_rows_it_shows(capsys: Capture, store: Path) -> None:
    first, *_, last = open_store(store).shards
    for shard in open_store(store).shards[1:-1]:
        (store / shard.name).unlink()
    listed = given(capsys, "ls", store, "--limit", first.num_utterances)
    assert len(listed["utterances"]) == first.num_utterances
    assert listed["more"] == 30 - first.num_utterances
    [found] = given(capsys, "ls", store, "--prefix", last.last_id)["utterances"]
    assert found["id"] == last.last_id
    assert run("ls", store) == 1
    assert "expected a file, got nothing there" in capsys.readouterr().err


def test_ls_gives_a_long_list_in_several_tables(capsys: Capture, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="units", dtype="uint8") as writer:
        for number in range(2500):
            writer.write(f"u{number:04d}", np.zeros(2, np.uint8))
    lines = shown(capsys, "ls", tmp_path / "s", "--limit", 0).splitlines()
    assert [line for line in lines if line.startswith("u")] == [
        f"u{number:04d} 2" for number in range(2500)
    ]


def test_ls_says_when_there_is_nothing(capsys: Capture, store: Path) -> None:
    assert shown(capsys, "ls", store, "--prefix", "z") == "no utterances"


def test_ls_shows_one_part(capsys: Capture, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="units", dtype="uint8") as writer:
        for number in range(9):
            writer.write(f"u{number}", np.zeros(number, np.uint8), part=f"p{number % 3}")
    listed = given(capsys, "ls", tmp_path / "s", "--part", "p1")
    assert [row["id"] for row in listed["utterances"]] == ["u1", "u4", "u7"]
    assert {row["duration_s"] for row in listed["utterances"]} == {None}
    assert "p1 u4 4" in shown(capsys, "ls", tmp_path / "s", "--part", "p1").splitlines()
    assert given(capsys, "ls", tmp_path / "s", "--part", "p9")["utterances"] == []


def test_ls_names_the_split_of_an_utterance(capsys: Capture, splits: Path) -> None:
    listed = given(capsys, "ls", splits, "--limit", 5)
    assert [row["split"] for row in listed["utterances"]] == ["dev"] * 4 + ["train"]
    assert "train tspk0/u000 0 0.00" in shown(capsys, "ls", splits).splitlines()


def test_ls_lists_shards(capsys: Capture, store: Path, splits: Path) -> None:
    shards = open_store(store).shards
    listed = given(capsys, "ls", store, "--shards")
    assert (listed["total"], listed["more"]) == (len(shards), 0)
    assert [shard["name"] for shard in listed["shards"]] == [shard.name for shard in shards]
    assert listed["shards"][0]["digest"] == shards[0].digest
    assert f"{shards[0].name} spk0/u000" in shown(capsys, "ls", store, "--shards")
    assert {shard["split"] for shard in given(capsys, "ls", splits, "--shards")["shards"]} == {
        "dev",
        "train",
    }


def test_a_long_id_is_shown_to_its_end(capsys: Capture, tmp_path: Path) -> None:
    store = write(tmp_path / "s", ["x" * 500 + "end"])
    assert shown(capsys, "ls", store).replace("\n", "").replace(" ", "").count("x") == 500


def test_verify_finds_all_as_written(capsys: Capture, store: Path, splits: Path) -> None:
    assert shown(capsys, "verify", store).endswith(" MB: all as written")
    verified = given(capsys, "verify", splits)
    assert (verified["num_utterances"], verified["damages"]) == (24, [])


def test_verify_gives_every_damage_a_line_and_fails(capsys: Capture, store: Path) -> None:
    shards = open_store(store).shards
    missing, flipped = store / shards[1].name, store / shards[-1].name
    missing.unlink()
    data = bytearray(flipped.read_bytes())
    data[shards[-1].values_start] ^= 4
    flipped.write_bytes(data)
    assert run("verify", store) == 1
    captured = capsys.readouterr()
    *lines, last, advice = captured.out.splitlines()
    assert lines == [
        f"shard {missing}: missing",
        f"shard {flipped}: expected other values of {shards[-1].first_id!r}",
    ]
    assert last.startswith(f"{len(shards)} shards, 30 utterances, ")
    assert last.endswith(": 2 damaged")
    assert advice.startswith(f"featbank verify --remove {store} ")
    assert captured.err == ""
    assert run("verify", store, "--json") == 1
    damages = json.loads(capsys.readouterr().out)["damages"]
    assert [damage["ids"] for damage in damages] == [[], [shards[-1].first_id]]
    assert [damage["shard"] for damage in damages] == [str(missing), str(flipped)]


def test_verify_removes_what_is_damaged_and_nothing_else(capsys: Capture, splits: Path) -> None:
    before = files(splits)
    shard, _ = fullest_shard(splits / "train")
    flip_in(shard, "values")
    gone = [shard, splits / "dev" / "failures.jsonl"]
    flip(gone[1], 3)
    assert shown(capsys, "verify", "--remove", splits).splitlines() == [
        f"removed {gone[1]}",
        f"removed {gone[0]}",
        "run the stage that makes the store, or dvc pull",
    ]
    kept = {path.relative_to(splits).as_posix() for path in gone} ^ before.keys()
    assert files(splits) == {path: before[path] for path in kept}


def test_verify_removes_nothing_of_a_sound_store(capsys: Capture, splits: Path) -> None:
    before = files(splits)
    assert shown(capsys, "verify", "--remove", splits) == "nothing is damaged"
    assert files(splits) == before


@pytest.mark.parametrize("damage", ["cut short", "another digit"])
def test_verify_removes_a_damaged_header(damage: str, capsys: Capture, splits: Path) -> None:
    header = splits / "dev" / "header.json"
    text = header.read_text()
    header.write_text(text[:99] if damage == "cut short" else text.replace("100.0", "900.0"))
    assert f"removed {header}" in shown(capsys, "verify", "--remove", splits)
    assert not header.exists()
    assert open_store(splits / "train").verify() == []


def test_verify_removes_a_damaged_statement_of_splits(capsys: Capture, splits: Path) -> None:
    statement = splits / "splits.json"
    statement.write_text('{"format": "featbank-splits", "format_version": 1, "splits": {}}')
    before = files(splits)
    assert f"removed {statement}" in shown(capsys, "verify", "--remove", splits)
    assert files(splits) == {name: data for name, data in before.items() if name != "splits.json"}


def test_verify_removes_no_header_of_another_version(capsys: Capture, splits: Path) -> None:
    header = splits / "dev" / "header.json"
    header.write_text(header.read_text().replace('"format_version": 4', '"format_version": 5'))
    assert run("verify", "--remove", splits) == 1
    assert header.exists()
    capsys.readouterr()
    assert run("verify", splits / "dev") == 1
    assert "--remove" not in capsys.readouterr().out  # which would refuse it


def test_verify_shows_its_progress_on_a_terminal_alone(store: Path) -> None:
    """Standard error is a real terminal here; its last state is cleared away."""
    terminal, end = pty.openpty()
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    variables.pop("CI", None)
    with running(
        [sys.executable, "-m", "featbank", "verify", str(store)],
        stdout=subprocess.PIPE,
        stderr=end,
        env=variables,
    ) as process:
        os.close(end)
        shown = b""
        with suppress(OSError):  # as its end is told; a terminal that nobody reads holds it up
            while piece := os.read(terminal, 1 << 16):
                shown += piece
        said, _ = process.communicate()
    assert said.decode().startswith("shard\t")
    assert b"verify" in shown
    assert b"all as written" in shown
    os.close(terminal)


def test_head_shows_the_first_frames_and_the_span_of_all(capsys: Capture, tmp_path: Path) -> None:
    values = np.arange(120, dtype=np.float32).reshape(10, 12)
    with StoreWriter(tmp_path / "s", name="x", dtype="float32") as writer:
        writer.write("b", values)
        writer.write("a", -values)
    [row] = given(capsys, "head", tmp_path / "s")["utterances"]
    assert (row["id"], row["shape"], row["dtype"]) == ("a", [10, 12], "float32")
    assert (row["min"], row["mean"], row["max"]) == (-119.0, -59.5, 0.0)
    assert row["frames"] == (-values[:5]).tolist()
    lines = shown(capsys, "head", tmp_path / "s", "b", "--frames", 2).splitlines()
    assert lines[0] == "b: float32 (10, 12), min 0, mean 59.5, max 119"
    assert "1 12 13 14 15 16 17 18 19 …" in lines
    assert len(lines) == 1 + 3 + 2 + 1
    both = given(capsys, "head", tmp_path / "s", "--utterances", 9)["utterances"]
    assert [row["id"] for row in both] == ["a", "b"]
    asked = given(capsys, "head", tmp_path / "s", "b", "a")["utterances"]
    assert [row["id"] for row in asked] == ["b", "a"]


def test_head_of_an_unknown_id_is_an_error(capsys: Capture, store: Path) -> None:
    assert run("head", store, "nobody") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "expected an id among its 30, got 'nobody'" in captured.err


def test_head_of_an_empty_utterance_and_of_an_empty_store(
    capsys: Capture, store: Path, tmp_path: Path
) -> None:
    [row] = given(capsys, "head", store)["utterances"]
    assert (row["shape"], row["min"], row["mean"], row["frames"]) == ([0, 4], None, None, [])
    assert "min -, mean -, max -" in shown(capsys, "head", store)
    empty = write(tmp_path / "empty", [])
    assert shown(capsys, "head", empty) == "no utterances"
    assert given(capsys, "head", empty) == {"utterances": []}


def test_head_of_units_has_one_value_a_frame(capsys: Capture, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="x", dtype="uint16") as writer:
        writer.write("a", np.array([60000, 7], np.uint16))
    [row] = given(capsys, "head", tmp_path / "s")["utterances"]
    assert (row["frames"], row["max"], row["mean"]) == ([60000, 7], 60000, 30003.5)
    assert "0 60000" in shown(capsys, "head", tmp_path / "s").splitlines()


def test_head_shows_codes_frame_by_frame(capsys: Capture, tmp_path: Path) -> None:
    codes = np.arange(20).reshape(2, 10)
    with StoreWriter(tmp_path / "s", name="x", codebook_size=20, time_axis=-1) as writer:
        writer.write("a", codes)
    [row] = given(capsys, "head", tmp_path / "s", "--frames", 3)["utterances"]
    assert (row["shape"], row["frames"]) == ([2, 10], [[0, 10], [1, 11], [2, 12]])


def test_head_counts_values_that_are_no_numbers(capsys: Capture, tmp_path: Path) -> None:
    values = np.array([[1.0, np.nan], [np.inf, 3.0]], np.float32)
    with StoreWriter(tmp_path / "s", name="x", dtype="float32", allow_nonfinite=True) as writer:
        writer.write("a", values)
    [row] = given(capsys, "head", tmp_path / "s")["utterances"]
    assert (row["min"], row["mean"], row["max"]) == (1.0, 2.0, 3.0)
    assert (row["num_nonfinite"], row["frames"]) == (2, [[1.0, None], [None, 3.0]])
    text = shown(capsys, "head", tmp_path / "s")
    assert "2 not finite" in text
    assert "0 1 nan" in text.splitlines()
