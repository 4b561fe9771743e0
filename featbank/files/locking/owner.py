"""The owner of a lock: what tells whether that process is dead, on the machine that it is of."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from featbank.errors import FeatbankError
from featbank.files.json_files import parse_json

MAX_BYTES = 4096
"""Of what a lock file holds; one that is longer is none of ours."""

_MAX_PID = 2**31 - 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, as it stands in a lock file. What a system does not tell is empty, or 0.

    Args:
        kind: how it holds the lock: by `flock`, which ends with it, or by the file being there.
        host: its name.
        boot: the kernel's id of this boot.
        namespace: of process ids and of clocks: those of another container are others'.
        pid: of the process.
        started: clock ticks from boot to its start, since an id comes again.
        since: when it took the lock.
        token: random, so that no two locks have equal files.
    """

    kind: Literal["flock", "claim"]
    host: str
    boot: str
    namespace: str
    pid: int
    started: int
    since: str
    token: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return this process, as one that makes a claim."""
        host, boot, namespace = _machine()
        _, started = _state_and_start(os.getpid())
        return cls(
            kind="claim",
            host=host,
            boot=boot,
            namespace=namespace,
            pid=os.getpid(),
            started=started,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            token=secrets.token_hex(8),
        )

    def to_bytes(self) -> bytes:
        """Return what a lock file holds of it, one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Owner | None:
        """Return who a lock file names; None where it is not whole."""
        try:
            found = parse_json(data, "a lock", FeatbankError)
            owner = cls(**{field.name: found[field.name] for field in fields(cls)})
        except (FeatbankError, KeyError):
            return None
        texts = (owner.host, owner.boot, owner.namespace, owner.since, owner.token)
        numbers = (owner.pid, owner.started)
        if not all(isinstance(text, str) and text.isprintable() for text in texts):
            return None
        if not all(type(number) is int for number in numbers) or not 0 < owner.pid <= _MAX_PID:
            return None
        if owner.kind not in _KINDS:
            return None
        return owner

    @property
    def is_of_this_machine(self) -> bool:
        """Whether this process would see it: it is of the same host, boot and namespace."""
        machine = _machine()
        return all(machine) and (self.host, self.boot, self.namespace) == machine

    @property
    def is_dead(self) -> bool:
        """Whether it is of this machine and gone; false where nobody can tell."""
        if not self.is_of_this_machine:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it is another user's, and alive
            pass
        state, started = _state_and_start(self.pid)
        # one that nobody has waited for has let its files go; an id may be another's by now
        return state in ("Z", "X") or bool(started and self.started and started != self.started)

    @property
    def is_alive(self) -> bool:
        """Whether it is of this machine and there; false where nobody can tell."""
        return self.is_of_this_machine and not self.is_dead

    def __str__(self) -> str:
        """Say who it is, for people."""
        return f"process {self.pid} of host {self.host}, since {self.since}"


_KINDS = ("flock", "claim")


def _machine() -> tuple[str, str, str]:
    """Return the host, the boot and the namespaces; empty what is not told."""
    host = os.uname().nodename
    try:
        boot = _BOOT_ID.read_text(encoding="utf-8").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except (OSError, ValueError):  # not Linux, or a sandbox
        return host, "", ""
    with suppress(OSError):  # the start of a process is told by the clock of a namespace; Linux 5.6
        namespace += f" {Path('/proc/self/ns/time').readlink()}"
    return host, boot, namespace


def _state_and_start(pid: int) -> tuple[str, int]:
    """Return the state of a process and the clock ticks from boot to its start, if they are told.

    Fields 3 and 22 of /proc/PID/stat, whose second may hold spaces and brackets: proc_pid_stat(5).
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        after_name = told.rpartition(")")[2].split()
        return after_name[0], int(after_name[19])
    except (OSError, ValueError, IndexError):
        return "", 0
