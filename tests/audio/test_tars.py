"""Members of tars are found where they lie, and a tar that is not whole is named."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from itertools import islice
from pathlib import Path

import pytest

from featbank.audio.tars import TarMember, tar_members
from featbank.errors import AudioError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def write_tar(path: Path, members: dict[str, bytes], kind: str = "gnu") -> Path:
    with tarfile.open(path, "w", format=FORMATS[kind]) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def contents(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    return {
        one.name: data[one.start : one.start + one.num_bytes]
        for one in tar_members(path)
        if not one.fault
    }


@pytest.mark.parametrize("kind", [b"0", b"L"])
@pytest.mark.parametrize("size", [b"-0000001000\0", b"-1 ", b"0o1000\0", b"1_000\0", b"+1000\0"])
def test_a_size_that_is_no_octal_number_is_damage_and_no_way_back(
    tmp_path: Path, size: bytes, kind: bytes
) -> None:
    header = bytearray(tarfile.TarInfo("a.flac").tobuf(tarfile.USTAR_FORMAT)[:512])
    header[124:136], header[156:157] = size.ljust(12, b"\0"), kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    whole = write_tar(tmp_path / "whole.tar", {"first.flac": b"1"}).read_bytes()[:1024]
    (tmp_path / "x.tar").write_bytes(whole + header + bytes(1024))
    members = islice(tar_members(tmp_path / "x.tar"), 3)
    assert next(members).name == "first.flac"
    with pytest.raises(AudioError, match="damaged at byte") as raised:
        list(members)
    assert raised.value.kind == "damaged"


@pytest.mark.parametrize("records", [b"%b size=1\n", b"5011 size=%b\n"])
def test_a_record_with_an_endless_number_is_damage(tmp_path: Path, records: bytes) -> None:
    records %= b"9" * 5000
    naming = tarfile.TarInfo("x")
    naming.type, naming.size = b"x", len(records)
    header = naming.tobuf(tarfile.USTAR_FORMAT)
    whole = write_tar(tmp_path / "whole.tar", {"a.flac": b"1"}).read_bytes()
    filled = records + bytes(-len(records) % 512)
    (tmp_path / "x.tar").write_bytes(whole[:1024] + header + filled + whole)
    members = tar_members(tmp_path / "x.tar")
    assert next(members).name == "a.flac"
    with pytest.raises(AudioError, match="damaged at byte") as raised:
        list(members)
    assert raised.value.kind == "damaged"


@pytest.mark.parametrize("kind", FORMATS)
def test_members_of_every_format_are_found_with_their_bytes(tmp_path: Path, kind: str) -> None:
    names = ["a.flac", "b/c.json", "d" * 90 + "/" + "e" * 60 + ".wav", "f/\u00e9.txt"]
    names += [] if kind == "ustar" else ["g" * 180 + "/" + "h" * 200 + ".mp3"]
    members = {name: os.urandom(511 + 300 * number) for number, name in enumerate(names)}
    assert contents(write_tar(tmp_path / "x.tar", members, kind)) == members


def test_folders_and_a_dot_before_a_name_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.txt").write_bytes(b"1")
    subprocess.run(["tar", "-C", tmp_path / "in", "-cf", tmp_path / "x.tar", "."], check=True)
    assert contents(tmp_path / "x.tar") == {"sub/a.txt": b"1"}


def test_links_and_sparse_files_are_named_and_what_follows_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with open(folder / "1.wav", "wb") as file:  # more holes than a header has room for
        for number in range(30):
            file.seek(number << 17)
            file.write(b"x" * 4096)
        file.truncate(40 << 17)
    (folder / "2.wav").write_bytes(b"real")
    os.link(folder / "2.wav", folder / "3.wav")
    (folder / "4.wav").symlink_to("2.wav")
    (folder / "5.wav").write_bytes(b"last")
    for kind in ("gnu", "pax"):
        names = sorted(one.name for one in folder.iterdir())
        subprocess.run(
            ["tar", "-C", folder, "-S", f"--format={kind}", "-cf", tmp_path / "x.tar", *names],
            check=True,
        )
        faults = [(one.name, one.fault) for one in tar_members(tmp_path / "x.tar")]
        assert [fault for _, fault in faults] == [
            "a sparse file", "", "a hard link", "a symbolic link", "",
        ]  # fmt: skip
        assert contents(tmp_path / "x.tar") == {"2.wav": b"real", "5.wav": b"last"}


@pytest.mark.parametrize("left", [512 + 1024 + 512 + 700, 512 + 1024 + 512, 512 + 1024 + 100])
def test_a_tar_that_is_cut_gives_what_is_whole_and_then_its_failure(
    tmp_path: Path, left: int
) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.wav": b"a" * 1000, "b.wav": b"b" * 1000})
    os.truncate(path, left)
    members = tar_members(path)
    assert next(members) == TarMember(name="a.wav", start=512, num_bytes=1000)
    with pytest.raises(AudioError, match="cut short") as caught:
        next(members)
    assert caught.value.kind == "truncated"


def test_a_tar_without_the_mark_of_its_end_is_cut_short(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.wav": b"a" * 1000})
    os.truncate(path, 512 + 1024)
    with pytest.raises(AudioError, match="the mark of its end, got 0 bytes"):
        list(tar_members(path))
    os.truncate(path, 512 + 1024 + 512)  # one block of zeros, as some programs write
    assert len(list(tar_members(path))) == 1


def test_damage_between_two_members_is_no_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.wav": b"a" * 1000, "b.wav": b"b" * 1000})
    with open(path, "r+b") as file:
        file.seek(512 + 1024 + 5)
        file.write(b"!")
    members = tar_members(path)
    assert next(members).name == "a.wav"
    with pytest.raises(AudioError, match="damaged at byte 1536"):
        next(members)


def test_tars_that_were_joined_by_cat_are_not_taken_for_the_first(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "1.tar", {"a.wav": b"1"}).read_bytes()
    (tmp_path / "x.tar").write_bytes(one + one)
    members = tar_members(tmp_path / "x.tar")
    assert next(members).name == "a.wav"
    with pytest.raises(AudioError, match="goes on behind its end") as caught:
        next(members)
    assert caught.value.kind == "surplus"


def test_what_is_no_plain_tar_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with pytest.raises(AudioError, match="No such file"):
        list(tar_members(path))
    path.write_bytes(b"")
    with pytest.raises(AudioError, match="an empty file"):
        list(tar_members(path))
    path.write_bytes(gzip.compress(b"x" * 10_000))
    with pytest.raises(AudioError, match="without compression, got one compressed by gzip"):
        list(tar_members(path))
    path.write_bytes(os.urandom(4096))
    with pytest.raises(AudioError, match="got no tar"):
        list(tar_members(path))


def test_only_headers_are_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{number}.wav": bytes(100_000) for number in range(50)})
    before = _bytes_read()
    assert len(list(islice(tar_members(path), 50))) == 50
    assert _bytes_read() - before < 51 * 512 + 20_000


def _bytes_read() -> int:
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])
