"""Real ranks for tests: processes in one gloo group, on loopback."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch.distributed

from featbank.runners.processes import _deaf_to_ctrl_c
from featbank.runners.socket_folder import choose_socket_folder
from tests.waiting import HANG_S

# forked from a server that has imported what takes seconds, and computed nothing
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch.distributed", "featbank.recipes.brain", "tests.launching"])


@dataclass
class Launched:
    """Ranks at work.

    Args:
        processes: in the order of their ranks.
        folder: where each leaves what it found.
        store: in which they meet, as torchrun's agent keeps one.
    """

    processes: list[BaseProcess]
    folder: Path
    store: Any = field(repr=False)

    def wait(self) -> list[Any]:
        """Wait for all ranks; return what each found, None of one that was killed."""
        for process in self.processes:
            process.join(HANG_S)
            assert process.exitcode is not None, f"{process} hangs"
        files = [self.folder / str(rank) for rank in range(len(self.processes))]
        return [json.loads(file.read_text()) if file.exists() else None for file in files]


def launch(
    act: Callable[..., Any], size: int, folder: Path, *arguments: Any, hosted: bool = False
) -> Launched:
    """Start ranks that call a function with their rank and these arguments.

    Args:
        act: of a module; what it returns is kept as JSON.
        size: the number of ranks.
        folder: for what they find.
        arguments: of it.
        hosted: have rank 0 keep the store, as it does where nobody launched the ranks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for rank in range(size):
        (folder / str(rank)).unlink(missing_ok=True)
    store = torch.distributed.TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=True
    )
    processes = [
        _CONTEXT.Process(
            target=_rank, args=(act, rank, size, folder, store.port, hosted, arguments)
        )
        for rank in range(size)
    ]
    # as runners start it, which may fork from the same server
    resource_tracker.ensure_running()
    choose_socket_folder()
    with _deaf_to_ctrl_c():
        forkserver.ensure_running()
    for process in processes:
        process.start()
    return Launched(processes, folder, store)


def _rank(
    act: Callable[..., Any],
    rank: int,
    size: int,
    folder: Path,
    port: int,
    hosted: bool,
    arguments: tuple[Any, ...],
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = torch.distributed.TCPStore("127.0.0.1", port, is_master=False)
    if hosted and rank == 0:
        own = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        store.set("own", str(own.port))
        store = own
    elif hosted:
        port = int(store.get("own"))
        store = torch.distributed.TCPStore("127.0.0.1", port, is_master=False)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size)
    found = act(rank, *arguments)
    (folder / f".{rank}").write_text(json.dumps(found))
    (folder / f".{rank}").rename(folder / str(rank))
    if not hosted:
        torch.distributed.destroy_process_group()
