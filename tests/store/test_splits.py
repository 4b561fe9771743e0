"""What a folder of splits consists of is stated where it is published, and held by every door."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featbank.__main__ import main
from featbank.errors import StoreError
from featbank.feature_io import NumpyHdf5Writer
from featbank.store import StoreWriter, commit_together, open_store
from featbank.store.splits import read_splits
from featbank.store.verified import open_verified
from featbank.store.verify import verify
from tests.store.trust import files, run


def publish(folder: Path, *splits: str, value: float = 0, keep_others: bool = False) -> None:
    """Publish splits together, each of an utterance of its name."""
    writers = [StoreWriter(folder / one, name="x", frame_rate=50.0) for one in splits]
    for split, writer in zip(splits, writers, strict=True):
        writer.write(split, np.full((3, 4), value, np.float32))
    commit_together(writers, keep_others=keep_others)


def replace(folder: Path, split: str) -> None:
    """Write one split by itself."""
    with StoreWriter(folder / split, name="x", frame_rate=50.0) as writer:
        writer.write(f"{split}-alone", np.zeros((3, 4), np.float32))


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    folder = tmp_path / "x"
    publish(folder, "train", "dev", "test")
    return folder


def _damage_header(folder: Path) -> None:
    (folder / "dev" / "header.json").write_text("{}")


def _half_copy(folder: Path) -> None:
    shutil.rmtree(folder / "dev")
    (folder / "dev").mkdir()
    (folder / "dev" / "failures.jsonl").write_text("")


def _pipe(folder: Path) -> None:
    (folder / "splits.json").unlink()
    os.mkfifo(folder / "splits.json")


def _edit(folder: Path) -> None:
    fields = json.loads((folder / "splits.json").read_text())
    del fields["splits"]["dev"]
    (folder / "splits.json").write_text(json.dumps(fields))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no header": (
        lambda folder: (folder / "dev" / "header.json").unlink(),
        "dev: expected a folder with header.json, got no header.json",
    ),
    "another header": (_damage_header, "dev/header.json: expected format 'featbank-store'"),
    "no split": (
        lambda folder: shutil.rmtree(folder / "dev"),
        "states: dev, test, train, got no dev; fetch the rest with dvc pull",
    ),
    "an empty split": (
        lambda folder: [one.unlink() for one in (folder / "dev").iterdir()],
        "states: dev, test, train, got no dev",
    ),
    "a half-copied split": (_half_copy, "dev: expected a folder with header.json"),
    "two splits gone": (
        lambda folder: [shutil.rmtree(folder / one) for one in ("dev", "test")],
        "got no dev, no test",
    ),
    "a split of its own": (lambda folder: replace(folder, "dev"), "dev: expected header digest"),
    "one more split": (lambda folder: replace(folder, "old"), "old: expected one that .* states"),
    "another statement": (
        lambda folder: (folder / "splits.json").write_text("{}"),
        "splits.json: expected format 'featbank-splits'",
    ),
    "an edited statement": (_edit, "splits.json: expected the splits that were published"),
    "a pipe for a statement": (_pipe, "splits.json: expected the splits .* got .*a pipe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_stated_is_refused_and_verify_names_it(splits: Path, damage: str) -> None:
    act, message = DAMAGES[damage]
    store = open_store(splits)
    assert list(store.ids) == ["dev", "test", "train"]
    assert store.verify() == []
    act(splits)
    with pytest.raises(StoreError, match=message):
        open_store(splits)
    with pytest.raises(StoreError, match=message):
        open_store(splits.parent)
    [found] = verify(splits).damages
    assert store.verify() == [found]
    with pytest.raises(StoreError, match=message):
        raise StoreError(str(found))


def test_a_folder_of_splits_that_were_written_one_by_one_holds_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "dev"):
        replace(tmp_path, split)
    assert read_splits(tmp_path) is None
    assert len(open_store(tmp_path)) == 2
    assert main(["verify", str(tmp_path)]) == 0
    assert "states no splits: whether one is absent cannot be told" in capsys.readouterr().err
    (tmp_path / "dev" / "header.json").unlink()
    with pytest.raises(StoreError, match=r"dev: expected a folder with header\.json"):
        open_store(tmp_path)
    assert main(["verify", str(tmp_path)]) == 1


def test_a_split_that_was_pulled_alone_opens_and_the_folder_says_what_is_absent(
    splits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in ("train", "test"):
        shutil.rmtree(splits / other)
    assert list(open_store(splits / "dev").ids) == ["dev"]
    assert main(["verify", str(splits / "dev")]) == 0
    assert main(["verify", str(splits)]) == 1
    said = capsys.readouterr()
    assert "got no test, no train" in said.out
    assert "1 shards, 1 utterances" in said.err


def test_removing_what_is_damaged_takes_the_statement_and_names_what_is_absent(
    splits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (splits / "dev" / "header.json").unlink()
    assert main(["verify", "--remove", str(splits)]) == 0
    assert "dev: expected a folder with header.json" in capsys.readouterr().out
    (splits / "splits.json").write_text("{")
    assert main(["verify", "--remove", str(splits)]) == 0
    assert not (splits / "splits.json").exists()
    publish(splits, "train", "dev", "test")
    assert verify(splits).damages == []


def test_a_split_left_over_from_another_run_is_found_by_itself(splits: Path) -> None:
    replace(splits, "dev")
    [damage] = verify(splits / "dev").damages
    assert "dev: expected header digest" in str(damage)
    for opened in (open_store, open_verified):
        with pytest.raises(StoreError, match="dev: expected header digest"):
            opened(splits / "dev")
        assert len(opened(splits / "train")) == 1


def test_a_split_under_the_name_of_another_is_refused_by_itself(splits: Path) -> None:
    (splits / "train").rename(splits / "aside")
    (splits / "dev").rename(splits / "train")
    (splits / "aside").rename(splits / "dev")
    for split in ("train", "dev"):
        with pytest.raises(StoreError, match=f"{split}: expected header digest"):
            open_store(splits / split)
    (splits / "dev").rename(splits / "dev2")
    with pytest.raises(StoreError, match="dev2: expected one that"):
        open_store(splits / "dev2")


def test_a_copy_beside_what_it_is_a_copy_of_is_refused_where_nothing_is_stated(
    tmp_path: Path,
) -> None:
    replace(tmp_path, "train")
    shutil.copytree(tmp_path / "train", tmp_path / "train2")
    with pytest.raises(StoreError, match=r"train2: expected utterances that no other .*of train"):
        open_store(tmp_path)
    assert len(open_store(tmp_path / "train2")) == 1


def test_what_is_published_replaces_the_statement_and_is_the_same_bytes(
    splits: Path, tmp_path: Path
) -> None:
    before, inode = files_of(splits), (splits / "splits.json").stat().st_ino
    os.link(splits / "splits.json", tmp_path / "linked")  # as DVC does to its cache
    publish(splits, "train", "dev", value=1)
    assert (tmp_path / "linked").read_bytes() == before
    with pytest.raises(StoreError, match="test: expected one that"):  # of the earlier run
        open_store(splits)
    publish(splits, "test", "dev", "train")
    assert files_of(splits) == before
    assert (splits / "splits.json").stat().st_ino != inode
    assert not [one for one in splits.iterdir() if one.name.startswith(".")]


def files_of(splits: Path) -> bytes:
    return files_text(splits)["splits.json"]


def files_text(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def test_splits_that_are_published_one_after_the_other_add_up(tmp_path: Path) -> None:
    for split in ("train", "dev", "train"):
        publish(tmp_path, split, keep_others=True)
        assert split in open_store(tmp_path)
    assert sorted(read_splits(tmp_path) or {}) == ["dev", "train"]
    shutil.rmtree(tmp_path / "dev")
    publish(tmp_path, "train", value=1, keep_others=True)
    with pytest.raises(StoreError, match="got no dev"):  # it does not vanish by that
        open_store(tmp_path)


def test_splits_of_an_older_format_are_replaced_one_after_the_other(splits: Path) -> None:
    for split in ("train", "dev", "test"):
        header = splits / split / "header.json"
        fields = {**json.loads(header.read_text()), "format_version": 3}
        header.unlink()  # a second name of one that DVC may hold
        header.write_text(json.dumps(fields))
    for done, split in enumerate(("train", "dev", "test"), 1):
        with pytest.raises(StoreError):
            open_store(splits)
        publish(splits, split, value=1, keep_others=True)
        assert open_store(splits, split)[split].mean() == 1
        assert len(read_splits(splits) or ()) == 3, done
    assert sorted(open_store(splits).ids) == ["dev", "test", "train"]


def test_a_feature_that_was_made_with_others_and_is_gone_is_named(tmp_path: Path) -> None:
    names = ["durations", "units"]
    writers = [
        StoreWriter(tmp_path / name / "dev", name=name, dtype="uint8", provenance={"stores": names})
        for name in names
    ]
    for writer in writers:
        writer.write("a", np.ones(3, np.uint8))
    commit_together(writers)
    assert verify(tmp_path).damages == []  # one id in two features is no repeated one
    shutil.rmtree(tmp_path / "durations")
    with pytest.raises(StoreError, match=r"expected the features durations, units, .*no durations"):
        open_store(tmp_path)
    [damage] = verify(tmp_path).damages
    assert "no durations" in str(damage)
    assert len(open_store(tmp_path / "units")) == 1


def test_files_of_another_kind_are_published_without_a_statement(tmp_path: Path) -> None:
    writer = NumpyHdf5Writer(tmp_path / "x" / "dev", name="x")
    writer.write("a", np.zeros((2, 3), np.float32))
    commit_together([writer])
    assert list(files(tmp_path / "x")) == ["dev.h5"]


def test_a_linked_split_is_one_of_them(splits: Path, tmp_path: Path) -> None:
    (splits / "dev").rename(tmp_path / "elsewhere")
    (splits / "dev").symlink_to(tmp_path / "elsewhere")
    (splits / "loop").symlink_to(splits)
    assert list(open_store(splits).ids) == ["dev", "test", "train"]


KILLED = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from featbank.errors import StoreError
from featbank.store import open_store
from tests.store.test_splits import publish

folder = Path(sys.argv[1])
for number in itertools.count(1):
    publish(folder, "train", "dev")
    child = os.fork()
    if not child:
        calls = itertools.count(1)

        def count(event, arguments):
            if event in ("os.rename", "os.remove", "os.truncate", "open", "os.rmdir"):
                if next(calls) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        publish(folder, "train", "dev", value=1)
        os._exit(0)
    done = os.waitpid(child, 0)[1] == 0
    try:
        store = open_store(folder)
        assert not store.verify()
        values = {float(store[one][0, 0]) for one in store.ids}
        assert len(store) == 2 and len(values) == 1, values
    except StoreError as error:
        assert "as" in str(error) and "states" in str(error), error
    publish(folder, "train", "dev", value=1)
    assert {float(open_store(folder)[one][0, 0]) for one in ("train", "dev")} == {1.0}
    shutil.rmtree(folder)
    if done:
        break
print(number)
"""


def test_killed_anywhere_a_folder_is_the_old_one_the_new_one_or_refused(tmp_path: Path) -> None:
    assert int(run(KILLED, tmp_path / "x")) > 10


def test_splits_are_read_by_name_whatever_stands_beside_them(splits: Path) -> None:
    both = open_store(splits, ["train", "dev"])
    assert (both.splits, list(both.ids)) == (("train", "dev"), ["train", "dev"])
    assert both["dev"].shape == (3, 4)
    _damage_header(splits)
    train = pickle.loads(pickle.dumps(open_store(splits, "train")))  # noqa: S301
    assert (train.splits, list(train.ids)) == (("train",), ["train"])
    # through the folder of a choice, and by the split's own path
    assert list(open_store(splits.parent, "train").ids) == ["train"]
    assert list(open_store(splits / "train", "train").ids) == ["train"]
    with pytest.raises(StoreError, match="expected one split 'test', got train"):
        open_store(splits / "train", "test")
    replace(splits, "test")
    with pytest.raises(StoreError, match="test: expected header digest"):
        open_store(splits, ["train", "test"])


def test_a_split_that_is_not_there_or_stands_there_twice_is_refused(splits: Path) -> None:
    with pytest.raises(StoreError, match="one split 'valid', got dev, test, train"):
        open_store(splits, "valid")
    with pytest.raises(StoreError, match="one or more, each once, got "):
        open_store(splits, ["dev", "dev"])
    with pytest.raises(StoreError, match="one or more, each once, got "):
        open_store(splits, [])
    publish(splits.parent / "y", "train")
    with pytest.raises(StoreError, match="one split 'train', got x/train, y/train; open the"):
        open_store(splits.parent, "train")
    assert list(open_store(splits.parent, "y/train").ids) == ["train"]
