"""Journals give back what was appended, whole rows only, and never a changed byte."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.recipes.caching import Journal, JournalFile, JournalRow
from featbank.store import Encoded, find_encoding

SCALED = find_encoding("int8_scaled").encode(np.eye(3, dtype=np.float32), "x")


def row(number: int, frames: int = 3) -> JournalRow:
    values = np.arange(frames * 2, dtype="<f2").reshape(frames, 2) + number
    return JournalRow(
        id=f"u{number}/ä",
        input_digest=bytes([number]) * 16,
        features={
            "x": Encoded(values, None, 0.25, 1.5),
            "scaled": SCALED,
            "none": Encoded(np.empty((0, 4), np.int64)),
        },
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path)
    assert list(tmp_path.iterdir()) == []
    journal.append([row(0), row(1)])
    journal.append([])
    journal.append([row(2, frames=0)])
    journal.close()
    return journal.path


def ids(path: Path) -> list[str]:
    return [place.id for place in JournalFile(path).scan()]


def test_rows_come_back_as_they_were_appended(path: Path) -> None:
    file = JournalFile(path)
    places = list(file.scan())
    assert [place.input_digest[0] for place in places] == [0, 1, 2]
    for number, place in enumerate(places):
        found, expected = file.read(place), row(number, frames=0 if number == 2 else 3)
        assert (found.id, found.input_digest) == (expected.id, expected.input_digest)
        assert list(found.features) == ["x", "scaled", "none"]
        for name, encoded in expected.features.items():
            got = found.features[name]
            assert got.stored.dtype == encoded.stored.dtype
            np.testing.assert_array_equal(got.stored, encoded.stored)
            assert (got.scale is None) == (encoded.scale is None)
            if encoded.scale is not None:
                np.testing.assert_array_equal(got.scale, encoded.scale)
            assert got[2:] == encoded[2:]


def test_a_journal_that_is_cut_anywhere_gives_the_rows_that_are_whole(path: Path) -> None:
    data = path.read_bytes()
    starts = [place.start for place in JournalFile(path).scan()]
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert len(ids(path)) == sum(start <= length for start in [*starts[1:], len(data)])


def test_a_flipped_bit_anywhere_ends_a_journal_and_is_never_served(path: Path) -> None:
    data = path.read_bytes()
    starts = [place.start for place in JournalFile(path).scan()]
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        assert len(ids(path)) == sum(start <= place for start in starts[1:])


def test_bytes_that_change_after_the_scan_are_refused_when_they_are_read(path: Path) -> None:
    file = JournalFile(path)
    first, *_ = file.scan()
    with open(path, "r+b") as changed:
        changed.seek(first.start + 200)
        changed.write(b"!")
    with pytest.raises(StoreError, match="call cache_features again"):
        file.read(first)


def test_a_tail_of_zeros_as_a_lost_power_leaves_it_is_passed_by(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 4096)
    assert len(ids(path)) == 3


def test_a_scan_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([row(0)])
    file = JournalFile(journal.path)
    assert len(list(file.scan())) == 1
    assert list(file.scan()) == []
    [place] = journal.append([row(1)])
    assert list(file.scan()) == [place]


def test_equal_rows_have_equal_checksums_and_others_have_not(tmp_path: Path) -> None:
    journals = [Journal(tmp_path) for _ in range(2)]
    [[first], [second, other]] = [
        journals[0].append([row(1)]),
        journals[1].append([row(1), row(1, frames=4)]),
    ]
    assert first == second
    assert first.checksum != other.checksum


def test_a_scan_that_reads_only_what_names_the_rows_finds_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    many = {f"feature {number}": SCALED for number in range(200)}  # a text over several blocks
    large = JournalRow(id="many", input_digest=b"", features=many)
    places = journal.append([row(0), large, row(1)])
    assert list(JournalFile(journal.path).scan(checked=False)) == places
    data = journal.path.read_bytes()
    for length in range(places[2].start, len(data)):
        os.truncate(journal.path, length)
        assert list(JournalFile(journal.path).scan(checked=False)) == places[:2]
        os.truncate(journal.path, 0)
        journal.path.write_bytes(data)
    changed = bytearray(data)
    changed[places[1].start - 1] ^= 1  # the last value of the first row
    journal.path.write_bytes(changed)
    file = JournalFile(journal.path)
    assert list(file.scan(checked=False)) == places
    with pytest.raises(StoreError, match="checksum"):
        file.read(places[0])
