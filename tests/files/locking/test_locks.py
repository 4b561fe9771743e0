"""One owner at a time, with `flock` and without; a dead one's lock is taken, no living one's."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.corpora.publishing import publish
from featbank.errors import CorpusError, StoreError
from featbank.files.locking import breaking_locks, lock, lock_path
from featbank.files.locking.owner import Owner
from featbank.store import StoreBuilder, StoreWriter, open_store
from tests.files.test_disk import at_most
from tests.store.trust import kill, run, start

HOLDER = """
import sys
from featbank.store import StoreBuilder

with StoreBuilder(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""

WRITES_ON_EACH = """
import errno, os, sys
import numpy as np
from featbank.store import StoreWriter, open_store

for number in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM):
    os.environ["FLOCK_ERRNO"] = str(number)
    for value in (1, 2):
        with StoreWriter(sys.argv[1], name="x") as writer:
            writer.write("a", np.full((2, 3), float(value)))
    assert open_store(sys.argv[1])["a"][0, 0] == 2
print(*os.listdir(os.path.dirname(sys.argv[1])))
"""

# Children take a lock in turns and die in the midst of it, now and then: one of them at a time.
IN_TURNS = """
import os, random, signal, sys, time
from pathlib import Path
from featbank.errors import StoreError
from featbank.files.locking import lock

guarded, inside = Path(sys.argv[1]), Path(sys.argv[1] + ".inside")

def take_turns(number):
    chance = random.Random(number)
    for turn in range(20):
        while True:
            try:
                held = lock(guarded, "x")
                break
            except StoreError:
                time.sleep(chance.uniform(0, 0.002))
        if inside.exists():
            assert inside.read_text() == "dies", "two at a time"
            inside.unlink()
        descriptor = os.open(inside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, str(os.getpid()).encode())
        os.close(descriptor)
        if number > 1 and turn == 3 * number:
            inside.write_text("dies")
            os.kill(os.getpid(), signal.SIGKILL)
        assert int(inside.read_text()) == os.getpid()
        held.check()
        inside.unlink()
        held.release()

children = []
for number in range(6):
    pid = os.fork()
    if not pid:
        try:
            take_turns(number)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    children.append(pid)
# seen dead though nobody has waited for them, as that comes last
ends = [os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status for pid in children]
print(*sorted(set(ends)))
lock(guarded, "x").release()
inside.unlink(missing_ok=True)
print(*os.listdir(guarded.parent))
"""

# SIGKILL before the first call to the file system that Python reports, then before the second, ...
KILLED_EVERYWHERE = """
import itertools, os, signal, sys
from pathlib import Path
from featbank.errors import StoreError
from featbank.files.locking import lock

guarded = Path(sys.argv[1])

def in_a_child(do):
    child = os.fork()
    if not child:
        do()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def die_holding():
    held = lock(guarded, "x")
    os.kill(os.getpid(), signal.SIGKILL)

def kill_before(call):
    calls = itertools.count()
    def report(event, arguments):
        if event.startswith(("open", "os.", "fcntl.")) and next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(report)
    lock(guarded, "x").release()

torn = 0
for call in itertools.count():
    in_a_child(die_holding)
    status = in_a_child(lambda: kill_before(call))
    try:
        held = lock(guarded, "x")
    except StoreError as error:
        assert "a claim that names nobody" in str(error), error
        torn += 1
        held = lock(guarded, "x", breaks=True)
    held.check()
    held.release()
    assert not os.listdir(guarded.parent), os.listdir(guarded.parent)
    if status == 0:
        break
print(call, torn)
"""

LEAVES_AS_A_CHILD = """
import os, sys
from featbank.errors import StoreError
from featbank.store import StoreWriter

writer = StoreWriter(sys.argv[1], name="x")
if not os.fork():
    sys.exit()
os.wait()
try:
    StoreWriter(sys.argv[1], name="x")
except StoreError as error:
    print("refused")
"""


def write(path: Path, value: float = 1, **options: Any) -> None:
    with StoreWriter(path, name="x", **options) as writer:
        writer.write("a", np.full((2, 3), float(value)))


def claim(path: Path, owner: Owner | bytes) -> bytes:
    """Leave a claim of somebody else."""
    data = owner if isinstance(owner, bytes) else owner.to_bytes()
    lock_path(path).write_bytes(data)
    return data


def this_process(**fields: Any) -> Owner:
    return replace(Owner.this_process(), **fields)


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("children_without_flock")
def test_stores_are_written_and_replaced_where_flock_is_refused(tmp_path: Path) -> None:
    assert run(WRITES_ON_EACH, tmp_path / "s").split() == ["s"]


@pytest.mark.usefixtures("children_without_flock")
@pytest.mark.parametrize("is_offered_here", [True, False])
def test_a_claim_counts_while_its_process_lives_and_is_taken_over_when_it_is_killed(
    tmp_path: Path, is_offered_here: bool, request: pytest.FixtureRequest
) -> None:
    process = start(HOLDER, tmp_path / "s")
    if not is_offered_here:
        request.getfixturevalue("without_flock")
    host = os.uname().nodename
    for break_lock in (False, True):  # one that is seen to live is never broken
        with pytest.raises(StoreError, match=f"process {process.pid} of host {host}, since 2"):
            StoreBuilder(tmp_path / "s", break_lock=break_lock)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not looked
    write(tmp_path / "s")
    kill(process)
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("field", ["host", "boot", "namespace"])
def test_a_claim_of_another_machine_stays_until_it_is_broken(tmp_path: Path, field: str) -> None:
    there = claim(tmp_path / "s", this_process(pid=dead_pid(), **{field: "another"}))
    with pytest.raises(StoreError, match=r"got another one at work: process .* of host") as caught:
        write(tmp_path / "s")
    assert "--break-lock" in str(caught.value)
    assert str(lock_path(tmp_path / "s")) in str(caught.value)
    assert lock_path(tmp_path / "s").read_bytes() == there
    write(tmp_path / "s", break_lock=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.usefixtures("without_flock")
def test_nobody_is_taken_for_dead_where_the_system_tells_no_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featbank.files.locking.owner._BOOT_ID", tmp_path / "absent")
    owner = this_process(pid=dead_pid())
    assert owner.boot == ""
    claim(tmp_path / "s", owner)
    with pytest.raises(StoreError, match="another one at work"):
        write(tmp_path / "s")


@pytest.mark.usefixtures("without_flock")
def test_a_process_id_that_came_again_is_not_the_owner(tmp_path: Path) -> None:
    owner = this_process()
    claim(tmp_path / "s", owner)
    with pytest.raises(StoreError, match="another one at work"):
        write(tmp_path / "s")
    claim(tmp_path / "s", replace(owner, started=owner.started - 1))
    write(tmp_path / "s")


TORN = {
    "empty": b"",
    "half": this_process().to_bytes()[:50],
    "a list": b"[]",
    "no process": json.dumps({"kind": "claim", "pid": 0}).encode(),
    "every process": this_process(pid=-1).to_bytes(),
    "no number": this_process().to_bytes().replace(b'"pid": ', b'"pid": 1e'),
    "deep": b"[" * 5000,
    "a terminal's": this_process(host="\x1b[2J").to_bytes(),
}


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("kind", TORN)
def test_a_claim_that_names_nobody_stays_until_it_is_broken(tmp_path: Path, kind: str) -> None:
    claim(tmp_path / "s", TORN[kind])
    with pytest.raises(StoreError, match=r"got a claim that names nobody at work; .* --break-lock"):
        write(tmp_path / "s")
    assert lock_path(tmp_path / "s").read_bytes() == TORN[kind]
    with breaking_locks():
        write(tmp_path / "s")
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.parametrize("kind", TORN)
def test_what_a_killed_process_left_is_no_lock_where_there_is_flock(
    tmp_path: Path, kind: str
) -> None:
    claim(tmp_path / "s", TORN[kind])
    write(tmp_path / "s")
    claim(tmp_path / "s", replace(this_process(host="another"), kind="flock"))
    write(tmp_path / "s")
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.parametrize("is_offered", [True, False])
def test_of_two_owners_the_one_whose_lock_was_broken_publishes_and_removes_nothing(
    tmp_path: Path,
    is_offered: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not is_offered:
        request.getfixturevalue("without_flock")
    write(tmp_path / "s", 1)
    first = StoreWriter(tmp_path / "s", name="x")
    first.write("a", np.full((2, 3), 2.0))
    # as for one on another host
    monkeypatch.setattr(Owner, "is_of_this_machine", property(lambda _: False))
    with StoreWriter(tmp_path / "s", name="x", break_lock=True) as second:
        second.write("a", np.full((2, 3), 3.0))
        with pytest.raises(StoreError, match=r"the lock .* as it was taken, got another one's"):
            first.commit()
        first.abort()
        assert open_store(tmp_path / "s")["a"][0, 0] == 1
    assert open_store(tmp_path / "s")["a"][0, 0] == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.parametrize("is_offered", [True, False])
def test_processes_that_are_killed_now_and_then_hold_a_lock_one_at_a_time(
    tmp_path: Path, is_offered: bool, request: pytest.FixtureRequest
) -> None:
    if not is_offered:
        request.getfixturevalue("children_without_flock")
    (tmp_path / "of").mkdir()
    ends, left = run(IN_TURNS, tmp_path / "of" / "x").splitlines()
    assert set(ends.split()) == {"0", "9"}
    assert left == ""


@pytest.mark.usefixtures("children_without_flock")
def test_a_process_killed_before_any_call_leaves_a_lock_that_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "of").mkdir()
    calls, torn = map(int, run(KILLED_EVERYWHERE, tmp_path / "of" / "x").split())
    assert calls > 8
    assert torn <= 1  # between the two calls that make a claim and complete it


@pytest.mark.parametrize("is_offered", [True, False])
def test_a_forked_child_that_ends_leaves_the_lock_to_its_parent(
    tmp_path: Path, is_offered: bool, request: pytest.FixtureRequest
) -> None:
    if not is_offered:
        request.getfixturevalue("children_without_flock")
    assert run(LEAVES_AS_A_CHILD, tmp_path / "s") == "refused\n"


def test_over_smb_a_lock_that_is_held_is_no_lack_of_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="another one at work"):
        lock(tmp_path / "s", "store s")


def test_a_lock_that_fails_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match=f"while locking: '{lock_path(tmp_path / 's')}'"):
        lock(tmp_path / "s", "store s")


def test_a_file_system_that_makes_another_file_of_a_path_each_time_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    with pytest.raises(OSError, match=f"at each look: '{lock_path(tmp_path / 's')}'"):
        lock(tmp_path / "s", "store s")


@pytest.mark.usefixtures("without_flock")
def test_a_disk_that_is_full_takes_no_claim_and_keeps_none(tmp_path: Path) -> None:
    with at_most(0), pytest.raises(OSError, match=r"while writing: '.*\.s\.lock'"):
        lock(tmp_path / "s", "store s")
    assert list(tmp_path.iterdir()) == []
    lock(tmp_path / "s", "store s").release()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_any_other_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(StoreError, match=f"store s: expected a disk with room .*{number}"):
        lock(tmp_path / "s", "store s")


def test_a_disk_that_fails_is_not_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    held = lock(tmp_path / "s", "store s")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        with pytest.raises(OSError, match=f"while reading: '{lock_path(tmp_path / 's')}'"):
            held.check()
        assert not held.is_mine
    held.check()


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(lock_path(tmp_path / "s"))
    with pytest.raises(StoreError, match="expected a file, got something else there"):
        lock(tmp_path / "s", "store s")


def test_a_folder_that_its_file_system_does_not_make_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "mkdir", refuse)  # as under /proc, or where nothing is mounted
    with pytest.raises(FileNotFoundError):
        lock(tmp_path / "x" / "y", "x")


@pytest.mark.parametrize("is_offered", [True, False])
def test_manifests_are_published_by_one_process_while_another_waits(
    tmp_path: Path, is_offered: bool, request: pytest.FixtureRequest
) -> None:
    if not is_offered:
        request.getfixturevalue("without_flock")
    order: list[str] = []

    def publish_too() -> None:
        with publish(tmp_path / "m") as folder:
            order.append("second")
            (folder / "corpus.json").write_text("second")

    with publish(tmp_path / "m") as folder:
        thread = threading.Thread(target=publish_too)
        thread.start()
        (folder / "corpus.json").write_text("first")
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert (tmp_path / "m" / "corpus.json").read_text() == "second"
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


@pytest.mark.usefixtures("without_flock")
def test_manifests_wait_for_nobody_of_whom_nobody_can_tell(tmp_path: Path) -> None:
    claim(tmp_path / "m", this_process(host="another"))
    with pytest.raises(CorpusError, match="of host another, since"), publish(tmp_path / "m"):
        pass
    with breaking_locks(), publish(tmp_path / "m") as folder:
        (folder / "corpus.json").write_text("new")
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]
