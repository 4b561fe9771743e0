"""An export is whole or absent, whatever happens; what stands in its place is never lost."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featbank.base.manifest import read_manifest, write_manifest
from featbank.cli import main
from featbank.errors import ConfigError, FeatbankError, ManifestError, StoreError
from featbank.export import (
    EXPORTS,
    EspnetExport,
    KaldiExport,
    export_espnet,
    export_kaldi,
    export_webdataset,
)
from featbank.export.exporting import export_stores
from featbank.export.opening import open_source
from featbank.export.work import MARKER, ExportWork
from featbank.store import StoreWriter, read_header
from tests.conftest import ROOT
from tests.export.conftest import Demo, files_of, write_store
from tests.flipping import flip, flip_in
from tests.waiting import HANG_S

IDS = [f"u{number:02d}" for number in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store", "units", IDS)


def beside(out: Path) -> list[str]:
    """Return what is left beside an export."""
    return sorted(one.name for one in out.parent.iterdir() if one.name.startswith(f".{out.name}"))


# -- stopped runs --------------------------------------------------------------------------------

# Forks itself for each kill: SIGKILL before one of the calls to the file system that Python
# reports, at places spread over a whole export.
KILLED = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from featbank.export import export_webdataset

store, out, num_kills, replaces = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def files():
    return {str(one.relative_to(out)): one.read_bytes() for one in out.rglob("*") if one.is_file()}

def export(**options):
    return export_webdataset(store, out, shard_mb=0, replace=True, **options)

def put_back():
    shutil.rmtree(out, ignore_errors=True)
    if replaces == "True":
        shutil.copytree(out.with_name("older"), out)

def in_child(place):
    read, write = os.pipe()
    if not os.fork():
        calls = itertools.count()
        def report(event, arguments):
            if event.startswith(("open", "os.", "shutil.", "fcntl.")) and next(calls) == place:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(report)
        export()
        os.write(write, str(next(calls)).encode())
        os._exit(0)
    os.close(write)
    os.wait()
    with open(read) as told:
        return told.read()

export()
clean = files()
shutil.rmtree(out)
older = {}
if replaces == "True":
    export(splits=["a"])
    older = files()
    shutil.copytree(out, out.with_name("older"))
num_calls = int(in_child(None))
num_kept = 0
for number in range(num_kills):
    put_back()
    assert in_child(num_calls * (number + 1) // (num_kills + 1)) == ""
    # whole, as it was, or for a moment between two renames absent
    assert not out.exists() or files() in (clean, older)
    num_kept += export().num_kept
    assert files() == clean
    left = [one for one in os.listdir(out.parent) if one.startswith(".out")]
    assert not left, left
print(num_kept)
"""


@pytest.mark.parametrize("replaces", [False, True])
def test_an_export_that_is_killed_anywhere_is_whole_or_absent_and_goes_on_to_the_same_bytes(
    tmp_path: Path, replaces: bool
) -> None:
    for split in ("a", "b"):
        write_store(tmp_path / "units" / split, "units", [f"{split}{one}" for one in IDS[:3]])
    arguments = [tmp_path / "units", tmp_path / "out", 7, replaces]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0  # the later kills left files that were kept


def test_finished_files_are_kept_if_their_bytes_are_as_they_were_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_store(tmp_path / "bad", "units", IDS)
    _damage_last_row(tmp_path / "bad")
    with pytest.raises(StoreError, match="u05"):
        export_webdataset(tmp_path / "bad", out, shard_mb=0)
    assert not out.exists()
    assert beside(out) == [".out.featbank-export"]
    # one of the finished files changes, another goes
    files = tmp_path / ".out.featbank-export" / "files"
    first, second, *_ = sorted(files.iterdir())
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    second.unlink()
    shutil.rmtree(tmp_path / "bad")
    write_store(tmp_path / "bad", "units", IDS)
    done = export_webdataset(tmp_path / "bad", out, shard_mb=0)
    assert done.num_kept == len(IDS) - 1 - 2
    assert sorted(one for one in files_of(out) if one.endswith("tar")) == [
        f"bad-{number:06d}.tar" for number in range(len(IDS))
    ]
    assert beside(out) == []


def _damage_last_row(store: Path) -> None:
    flip_in(store / read_header(store).shards[-1].name, "values")


def test_an_export_that_a_killed_run_had_moved_away_is_put_back(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_espnet(store, out)
    before = files_of(out)
    (tmp_path / ".out.featbank-export").mkdir()
    out.rename(tmp_path / ".out.featbank-export" / "replaced")
    with pytest.raises(StoreError, match="--replace"):  # the run that was killed had it
        export_espnet(store, out, deduplicate=True)
    assert files_of(out) == before
    assert export_espnet(store, out).was_there
    assert beside(out) == []


def test_what_was_made_from_something_else_is_not_kept(store: Path, tmp_path: Path) -> None:
    bad = write_store(tmp_path / "bad", "units", IDS)
    _damage_last_row(bad)
    out = tmp_path / "out"
    with pytest.raises(StoreError):
        export_webdataset(bad, out, shard_mb=0)
    assert export_webdataset(store, out, shard_mb=0).num_kept == 0
    export_webdataset(store, tmp_path / "clean", shard_mb=0)
    assert files_of(out) == files_of(tmp_path / "clean")


def test_a_full_disk_is_named_and_the_next_run_goes_on(tmp_path: Path) -> None:
    # each utterance a file; the limit is behind what the first ones need
    long = tmp_path / "long"
    with StoreWriter(long, name="units", codebook_size=50) as writer:
        for number in range(5):
            writer.write(f"u{number}", np.zeros(100 if number < 4 else 400_000, np.int64))
    out = tmp_path / "out"
    child = os.fork()
    if not child:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            export_webdataset(long, out, shard_mb=0)
        except StoreError as error:
            status = 0 if "a disk with room" in str(error) and str(out) in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not out.exists()
    done = export_webdataset(long, out, shard_mb=0)
    assert (done.num_kept, done.num_files) == (4, 5)


def test_progress_ends_at_the_number_of_utterances_whatever_a_format_goes_through(
    demo: Demo, tmp_path: Path
) -> None:
    told: list[int] = []
    source = open_source([demo.folder / "fbank"], manifests=demo.manifests).telling(told.append)
    KaldiExport().write(source, ExportWork(tmp_path / "out", {}))
    assert sum(told) == source.num_utterances == 38


# -- what stands in the place --------------------------------------------------------------------


def test_the_same_export_again_writes_nothing(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not export_espnet(store, out).was_there
    before = (out / "store" / "units").stat()
    assert export_espnet(store, out).was_there
    assert (out / "store" / "units").stat() == before
    assert beside(out) == []


def test_what_is_no_export_is_never_replaced(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for replace in (False, True):
        with pytest.raises(StoreError, match="something there that is no export"):
            export_espnet(store, out, replace=replace)
    assert files_of(out) == {"thesis.txt": b"mine"}
    assert beside(out) == []


def test_an_empty_folder_is_a_free_place_and_the_root_of_a_disk_is_none(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    assert not export_espnet(store, tmp_path / "out").was_there
    with pytest.raises(StoreError, match="expected a folder with a name"):
        export_espnet(store, "/")


def test_an_export_of_other_options_is_replaced_only_where_that_is_said(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_espnet(store, out)
    before = files_of(out)
    with pytest.raises(StoreError, match="--replace"):
        export_espnet(store, out, deduplicate=True)
    assert files_of(out) == before
    export_espnet(store, out, deduplicate=True, replace=True)
    assert files_of(out) != before
    (out / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"got notes\.txt; move your own files away"):
        export_espnet(store, out, replace=True)


@pytest.mark.parametrize("name", ["espnet", "kaldi", "zarr"])
def test_an_export_of_which_a_byte_was_changed_or_a_file_lost_is_not_taken_for_whole(
    store: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    export_stores(name, store, out)
    before = files_of(out)
    last = max(one for one in before if one != MARKER)
    for damage in (lambda: flip(out / last, 0), (out / last).unlink):
        damage()  # of which neither a size nor a time tells
        with pytest.raises(StoreError, match=f"got {re.escape(last)} changed; .*--replace"):
            export_stores(name, store, out)
        assert not export_stores(name, store, out, replace=True).was_there
        assert files_of(out) == before
    assert export_stores(name, store, out).was_there


def test_the_record_of_an_export_names_its_stores_by_the_digests_in_their_headers(
    demo: Demo, tmp_path: Path
) -> None:
    export_espnet(demo.folder / "units", tmp_path / "out")
    said = json.loads((tmp_path / "out" / MARKER).read_text())["made_from"]["splits"]
    for split in ("train", "dev", "test"):
        header = json.loads((demo.folder / "units" / split / "header.json").read_text())
        assert said[split]["stores"] == {"units": header["digest"]}


@pytest.mark.parametrize("record", ["{", '{"made_from": {}, "files": {"a": 3}}'])
def test_an_export_whose_record_is_damaged_is_left_as_it_is(
    store: Path, tmp_path: Path, record: str
) -> None:
    out = tmp_path / "out"
    export_espnet(store, out)
    (out / MARKER).write_text(record)
    before = files_of(out)
    with pytest.raises(StoreError, match="remove the folder, if nothing in it is yours"):
        export_espnet(store, out, replace=True)
    assert files_of(out) == before


@pytest.mark.parametrize("target", ["of-mine", "nowhere"])
def test_a_link_that_somebody_put_into_an_export_is_not_lost(
    store: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / "of-mine").mkdir()
    export_webdataset(store, tmp_path / "out")
    (tmp_path / "out" / "link").symlink_to(tmp_path / target)
    for options in ({}, {"shard_mb": 1, "replace": True}):
        with pytest.raises(StoreError, match="nothing in it but what was exported, got link"):
            export_webdataset(store, tmp_path / "out", **options)
    assert (tmp_path / "out" / "link").is_symlink()


def test_a_place_inside_a_store_or_the_folder_of_its_splits_is_refused(tmp_path: Path) -> None:
    write_store(tmp_path / "units" / "train", "units", IDS)
    for out in (tmp_path / "units" / "train" / "out", tmp_path / "units" / "out"):
        with pytest.raises(StoreError, match="expected a place outside of the stores"):
            export_espnet(f"u={tmp_path / 'units'}", out)


# -- what goes in --------------------------------------------------------------------------------


def test_a_store_that_is_named_by_way_of_a_folder_in_it_is_exported_by_its_own_name(
    store: Path, tmp_path: Path
) -> None:
    (store / "sub").mkdir()
    export_kaldi(store, tmp_path / "plain", prefix=".")
    export_kaldi(store / "sub" / "..", tmp_path / "out", prefix=".")
    made, plain = files_of(tmp_path / "out"), files_of(tmp_path / "plain")
    assert made.keys() == plain.keys() >= {"store/units.scp", "store/data/units.1.ark"}
    assert all(made[name] == plain[name] for name in made if name != MARKER)


def test_a_row_whose_values_changed_ends_the_export_by_name(store: Path, tmp_path: Path) -> None:
    _damage_last_row(store)
    with pytest.raises(StoreError, match=r"utterance 'u05'.*expected the values that were written"):
        export_kaldi(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_without_utterances_is_an_export_without_any(tmp_path: Path) -> None:
    write_store(tmp_path / "store", "units", [])
    for name in ("espnet", "kaldi", "webdataset", "nanogpt", "megatron", "hf"):
        done = export_stores(name, tmp_path / "store", tmp_path / name)
        assert (done.num_utterances, done.num_failures) == (0, 1)
        assert done.num_files


def test_stores_that_lack_an_utterance_of_another_are_refused_by_name(
    store: Path, tmp_path: Path
) -> None:
    more = write_store(tmp_path / "more", "codes", [*IDS, "u99"])
    for stores in ([store, more], [more, store]):
        with pytest.raises(StoreError, match=r"utterance 'u99' of split .*expected in units"):
            export_espnet(stores, tmp_path / "out")


def test_stores_with_other_splits_are_refused(demo: Demo, tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write_store(tmp_path / "two" / split, "codes", demo.ids(split))
    stores = [demo.folder / "units", tmp_path / "two"]
    with pytest.raises(StoreError, match="expected the splits of units: train, dev, test"):
        export_espnet(stores, tmp_path / "out")
    done = export_espnet(stores, tmp_path / "out", splits=["train", "dev"])
    assert done.num_utterances == 31
    with pytest.raises(StoreError, match="expected one split 'eval', got dev, test, train"):
        export_espnet(stores, tmp_path / "other", splits=["eval"])


def test_a_split_that_was_pulled_alone_is_exported_by_its_name(demo: Demo, tmp_path: Path) -> None:
    shutil.copytree(demo.folder / "units" / "dev", tmp_path / "units" / "dev")
    (tmp_path / "units" / "train").mkdir()
    (tmp_path / "units" / "train" / "header.json").write_text("{}")
    done = export_espnet(tmp_path / "units", tmp_path / "out", splits=["dev"])
    assert done.num_utterances == 7
    with pytest.raises(StoreError, match="expected one split 'train'"):
        export_espnet(tmp_path / "units" / "dev", tmp_path / "other", splits=["train"])


@pytest.mark.parametrize("given", ["s3://bucket/fbank", "mel=https://host/fbank"])
def test_a_store_elsewhere_is_to_be_fetched_first(given: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected one on this disk, got a URL; fetch it"):
        export_espnet([given], tmp_path / "out")


def test_two_stores_of_one_feature_need_names(store: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", "units", IDS, codebook_size=60)
    with pytest.raises(ConfigError, match=r"got units twice; name one of them: units2="):
        export_espnet([store, other], tmp_path / "out")
    export_espnet([store, f"units60={other}"], tmp_path / "out")
    assert sorted(files_of(tmp_path / "out"))[1:] == ["store/units", "store/units60"]


def test_parts_are_merged_so_that_ids_rise(tmp_path: Path) -> None:
    ids = ["b_1", "a_2", "b_0", "c_5", "a_9"]  # the part is what stands before _
    with StoreWriter(tmp_path / "store", name="units", codebook_size=9) as writer:
        for number, one in enumerate(sorted(ids)):
            writer.write(one, np.array([number]), part="yx"[number % 2])
    export_espnet(tmp_path / "store", tmp_path / "out")
    lines = (tmp_path / "out" / "store" / "units").read_text().splitlines()
    assert lines == [f"{one} {number}" for number, one in enumerate(sorted(ids))]


def test_a_manifest_without_an_utterance_of_the_store_ends_the_export_by_name(
    demo: Demo, tmp_path: Path
) -> None:
    rows = read_manifest(demo.manifests / "dev.jsonl")
    write_manifest(tmp_path / "m" / "dev.jsonl", [*rows[:2], *rows[3:]])
    units = demo.folder / "units" / "dev"
    with pytest.raises(ManifestError, match=f"expected utterance '{rows[2].id}'"):
        export_webdataset(units, tmp_path / "out", manifests=tmp_path / "m")
    with pytest.raises(ManifestError, match="expected one of split train"):
        export_webdataset(demo.folder / "units", tmp_path / "out", manifests=tmp_path / "m")
    assert not (tmp_path / "out").exists()


def test_an_option_that_the_format_has_not_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="options of export to espnet"):
        export_espnet(store, tmp_path / "out", shards=3)
    assert export_stores(EspnetExport(deduplicate=True), store, tmp_path / "out").num_files == 1


def test_files_of_less_than_nothing_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"option shard_mb: expected MiB, 0 or more, got -1"):
        export_webdataset(store, tmp_path / "out", shard_mb=-1)


def test_a_missing_package_names_its_extra(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kaldiio", None)
    with pytest.raises(FeatbankError, match=r'pip install "featbank\[kaldi\]"'):
        export_kaldi(store, tmp_path / "out")


# -- the docs ------------------------------------------------------------------------------------


def test_every_command_of_the_docs_runs_and_every_format_is_in_their_table(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    [variables, more, *commands] = page.split("```sh\n")[2].partition("```")[0].splitlines()
    said = dict(one.split("=", 1) for one in shlex.split(f"{variables} {more}"))
    for folder, name in ((said["F"], "fbank"), (said["U"], "units")):
        (tmp_path / folder).parent.mkdir(parents=True)
        (tmp_path / folder).symlink_to(demo.folder / name)
    (tmp_path / "data" / "manifests").symlink_to(demo.manifests.parent)
    (tmp_path / "corpora").symlink_to(demo.audio_root.parent)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        for name, value in said.items():
            command = command.replace(f"${name}", value)
        program, *arguments = shlex.split(command)
        assert program == "featbank"
        assert main(arguments) == 0
        assert any(Path(arguments[arguments.index("--to") + 2]).iterdir())
    run = {shlex.split(command)[shlex.split(command).index("--to") + 1] for command in commands}
    assert EXPORTS.table.keys() == run == {*re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)}


def test_a_disk_is_no_place_for_an_export(store: Path) -> None:
    with pytest.raises(StoreError, match="got a place where a disk is mounted"):
        export_webdataset(store, "/proc")
