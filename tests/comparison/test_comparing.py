"""What is said of two versions of a store is what a plain pass over both would say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featbank.comparison.comparing import Version, compare_stores, compare_versions
from featbank.comparison.findings import RowCounts, RowState, StoreDifference
from featbank.comparison.folders import version_at
from featbank.store import open_store
from featbank.tokenizers.codebook_file import write_codebook
from tests.comparison.versions import Row, Rows, Watched, floats, write
from tests.flipping import flip, fullest_shard


def compared(before: Path, after: Path, limit: int | None = None) -> StoreDifference:
    return compare_stores("", open_store(before), open_store(after), limit=limit)


def conserved(rows: RowCounts) -> bool:
    """Tell whether each utterance is one thing, and one only."""
    in_both = rows.unchanged + rows.by_input + rows.by_fingerprint + rows.by_values
    return (rows.before, rows.after) == (
        in_both + rows.removed + rows.unread_before,
        in_both + rows.added + rows.unread_after,
    )


def _changed(rows: Rows, seed: int) -> dict[str, Row]:
    """Change utterances in every way: audio, values, lengths, parts, and which there are."""
    rng = np.random.default_rng(seed)
    changed = dict(floats(12, seed=seed, prefix="new"))
    for utterance_id, row in rows.items():
        match rng.integers(10):
            case 0:
                continue
            case 1:
                row = replace(row, audio=row.audio + 1)
            case 2:
                values = row.values.copy()
                values[0, 0] += rng.normal()
                row = replace(row, values=values)
            case 3:
                row = replace(row, values=row.values[:-2], audio=row.audio + 1)
            case 4:
                row = replace(row, part="c")
        changed[utterance_id] = row
    return changed


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_and_values_are_counted_as_a_plain_pass_counts_them(tmp_path: Path, seed: int) -> None:
    before = floats(200, seed=seed)
    after = _changed(before, seed)
    found = compared(write(tmp_path / "a", before), write(tmp_path / "b", after))

    both = [(before[one], after[one]) for one in before.keys() & after.keys()]
    others = [pair for pair in both if not np.array_equal(pair[0].values, pair[1].values)]
    by_input = [pair for pair in both if pair[0].audio != pair[1].audio]
    by_values = [pair for pair in others if pair[0].audio == pair[1].audio]
    changed = by_input + by_values
    equal = [pair for pair in changed if len(pair[0].values) == len(pair[1].values)]
    apart = [len(one.values) - len(other.values) for one, other in others]
    assert found.rows == RowCounts(
        before=200,
        after=len(after),
        unchanged=len(both) - len(by_input) - len(by_values),
        by_input=len(by_input),
        by_values=len(by_values),
        same_values=sum(np.array_equal(one.values, other.values) for one, other in by_input),
        added=len(after.keys() - before.keys()),
        removed=len(before.keys() - after.keys()),
    )
    assert conserved(found.rows)
    differences = [np.abs(np.float64(other.values) - one.values) for one, other in equal]
    assert found.values is not None
    assert found.values.num_utterances == len(equal) > 0
    assert found.values.num_frames == sum(map(len, differences))
    assert found.values.num_other_frames == sum((one != 0).any(1).sum() for one in differences)
    assert found.values.max_abs == max(one.max() for one in differences)
    mean = np.concatenate(differences).mean()
    assert found.values.mean_abs == pytest.approx(mean, rel=1e-12)
    assert found.values.num_other_length == np.count_nonzero(apart) > 0
    assert found.values.num_frames_apart == sum(map(abs, apart))
    states = {change.id: change.state for change in found.changes}
    assert {one for one in states if states[one] is RowState.ADDED} == after.keys() - before.keys()
    assert {
        one for one in states if states[one] is RowState.REMOVED
    } == before.keys() - after.keys()
    assert len(found.changes) == len(states)
    assert not found.moved
    assert not found.problems


def test_the_same_store_is_the_same_and_no_shard_of_it_is_opened(tmp_path: Path) -> None:
    store = write(tmp_path / "a", floats(60))
    one, other = Watched(store), Watched(store)
    found = compare_stores("", one, other)
    assert found.is_same
    assert found.rows == RowCounts(before=60, after=60, unchanged=60)
    assert not one.opened + other.opened


def test_only_shards_that_differ_are_opened_and_only_values_that_differ_are_read(
    tmp_path: Path,
) -> None:
    before = floats(200)
    after = before | {"u0100": replace(before["u0100"], values=before["u0100"].values + 1)}
    stores = write(tmp_path / "a", before), write(tmp_path / "b", after)
    headers = [open_store(store).header for store in stores]
    common = {one.digest for one in headers[0].shards} & {one.digest for one in headers[1].shards}
    assert len(common) > 5
    # values that nobody may look at: of all rows but the one that changed
    for store in stores:
        opened = open_store(store)
        for number, info in enumerate(opened.header.shards):
            shard = opened.open_shard(number)
            for row, utterance_id in enumerate(shard.ids()):
                if utterance_id != "u0100":
                    flip(store / info.name, info.values_start + 12 * shard.frames(row).start)
    watched = Watched(stores[0]), Watched(stores[1])
    found = compare_stores("", *watched)
    assert not found.problems
    assert (found.rows.unchanged, found.rows.by_values) == (199, 1)
    for one in watched:
        assert len(one.opened) == 1
        digests = {info.name: info.digest for info in one.header.shards}
        assert digests[one.opened[0]] not in common
    assert (found.num_shards, found.num_shards_read) == (sum(len(h.shards) for h in headers), 2)

    found = compared(stores[0], write(tmp_path / "c", before, fingerprint="e" * 64))
    assert not found.problems
    assert (found.rows.by_fingerprint, found.rows.same_values) == (200, 200)
    assert found.values is not None
    assert found.values.num_frames == sum(len(row.values) for row in before.values())
    assert (found.values.max_abs, found.values.num_other_frames) == (0, 0)


def test_another_dtype_is_another_fingerprint_and_its_rounding_is_measured(tmp_path: Path) -> None:
    rows = floats(20)
    rows["u0000"] = replace(rows["u0000"], values=np.zeros((3, 3), np.float32))
    found = compared(
        write(tmp_path / "a", rows, provenance={"versions": {"torch": "1"}}),
        write(
            tmp_path / "b", rows, dtype="float16", fingerprint="e" * 64,
            provenance={"versions": {"torch": "2"}},
        ),
        limit=3,
    )  # fmt: skip
    assert (found.rows.by_fingerprint, found.rows.same_values) == (20, 0)
    rounded = [np.abs(row.values - np.float16(row.values)).max() for row in rows.values()]
    assert found.values is not None
    assert found.values.max_abs == pytest.approx(max(rounded))
    assert [(one.field, one.before, one.after) for one in found.moved] == [
        ("dtype", "float32", "float16"),
        ("fingerprint", "f" * 64, "e" * 64),
        ("provenance.versions.torch", "1", "2"),
    ]
    assert len(found.changes) == 3


def test_tokens_flip_and_those_of_other_length_are_edited(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    before = {f"t{one}": Row(rng.integers(0, 9, 40)) for one in range(30)}
    after = dict(before)
    for number in (2, 3):
        tokens = before[f"t{number}"].values.copy()
        tokens[:number] = (tokens[:number] + 1) % 9
        after[f"t{number}"] = Row(tokens)
    before["longer"], after["longer"] = (
        Row(np.array([5, 5, 7, 7])),
        Row(np.array([5, 7, 7, 1, 1])),
    )
    options = {"dtype": None, "codebook_size": 9}
    found = compared(
        write(tmp_path / "a", before, **options), write(tmp_path / "b", after, **options)
    )
    assert found.rows.by_values == 3
    assert found.values is not None
    assert (found.values.max_abs, found.values.mean_abs) == (None, None)
    assert found.values.flip_rate == pytest.approx(5 / 80)
    assert found.values.unit_edit_distance == pytest.approx(1 / 4)
    assert (found.values.num_other_length, found.values.num_frames_apart) == (1, 1)
    flips = {change.id: change.flip_rate for change in found.changes}
    assert flips == {"t2": pytest.approx(2 / 40), "t3": pytest.approx(3 / 40), "longer": None}


def test_codes_flip_one_by_one(tmp_path: Path) -> None:
    codes = np.arange(12).reshape(3, 4)
    other = codes.copy()
    other[1, 2] = 0
    options = {"dtype": None, "codebook_size": 20, "time_axis": -1}
    found = compared(
        write(tmp_path / "a", {"c": Row(codes), "d": Row(codes)}, **options),
        write(tmp_path / "b", {"c": Row(other), "d": Row(codes[:, :3])}, **options),
    )
    assert found.values is not None
    assert found.values.flip_rate == pytest.approx(1 / 12)
    assert found.values.num_other_frames == 1
    assert found.values.unit_edit_distance == pytest.approx(1 / 4)  # of each codebook, one is gone


def test_what_has_no_difference_is_counted_and_not_measured(tmp_path: Path) -> None:
    found = compared(
        write(tmp_path / "a", {"u": Row(np.zeros((4, 3), np.float32))}),
        write(tmp_path / "b", {"u": Row(np.zeros((4, 2), np.float32))}, fingerprint="e" * 64),
    )
    assert found.values is not None
    assert (found.values.num_other_shape, found.values.num_utterances) == (1, 0)
    for pair in ((1, np.nan), (np.inf, 1)):
        stores = [
            write(
                tmp_path / name,
                {"u": Row(np.full((4, 3), value, np.float32))},
                allow_nonfinite=True,
            )
            for name, value in zip("cd", pair, strict=True)
        ]
        found = compared(stores[0], stores[1])
        assert found.rows.by_values == 1
        assert found.values is not None
        assert (found.values.num_not_finite, found.values.max_abs) == (1, None)


def test_damage_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    before = floats(200)
    after = {one: replace(row, audio=row.audio + 1) for one, row in before.items()}
    stores = write(tmp_path / "a", before), write(tmp_path / "b", after)
    shifted = {one: replace(row, values=row.values + 1) for one, row in after.items()}
    other = write(tmp_path / "c", shifted)

    path, info = fullest_shard(stores[1])
    path.write_bytes(path.read_bytes()[:-1])
    found = compared(*stores)
    assert len(found.problems) == 1
    assert info.name in found.problems[0]
    assert found.rows.unread_before == found.rows.unread_after == info.num_utterances
    assert found.rows.by_input == 200 - info.num_utterances
    assert conserved(found.rows)
    back = compared(stores[1], stores[0])
    assert back.rows == found.rows

    path, info = fullest_shard(other)
    flip(path, info.values_start)
    found = compared(stores[0], other)
    [problem] = found.problems
    assert repr(info.first_id) in problem
    assert info.name in problem
    assert found.rows.by_input == 200
    assert found.values is not None
    assert found.values.num_utterances == 199


def test_versions_are_compared_path_by_path(tmp_path: Path) -> None:
    rows = floats(10)
    for version in ("a", "b"):
        write(tmp_path / version / "x" / "same", rows)
        write(tmp_path / version / "x" / "broken", rows)
        write(tmp_path / version / "x" / ".unfinished", rows)
    write(tmp_path / "a" / "x" / "gone", rows)
    write(tmp_path / "a" / "x" / "empty", {})
    write(tmp_path / "b" / "y", rows)
    centroids = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    moved = centroids.copy()
    moved[5, 1] += 2
    write_codebook(tmp_path / "a" / "k.safetensors", centroids, {"seed": 1})
    write_codebook(tmp_path / "b" / "k.safetensors", moved, {"seed": 2})
    header = tmp_path / "b" / "x" / "broken" / "header.json"
    header.write_text(header.read_text().replace('"x"', '"y"'))

    found = compare_versions(*(version_at(str(tmp_path / name)) for name in "ab"))
    assert found.same == ("x/same",)
    assert {one.path: (one.only_in, one.rows) for one in found.stores} == {
        "x/empty": ("before", RowCounts()),
        "x/gone": ("before", RowCounts(before=10, removed=10)),
        "y": ("after", RowCounts(after=10, added=10)),
    }
    [problem] = found.problems
    assert "broken/header.json" in problem
    [codebook] = found.codebooks
    assert (codebook.num_centroids, codebook.num_other) == (8, 1)
    assert codebook.max_abs == pytest.approx(2)
    assert [(one.field, one.before, one.after) for one in codebook.moved] == [("seed", "1", "2")]
    assert not found.is_same
    assert compare_versions(Version(name="", stores={}), Version(name="", stores={})).is_same
