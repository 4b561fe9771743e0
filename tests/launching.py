"""Real ranks for tests: processes in one gloo group, on loopback."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed

from featbank.runners.processes import _deaf_to_ctrl_c
from featbank.runners.socket_folder import choose_socket_folder
from tests.waiting import HANG_S, running_too

# forked from a server that has imported what takes seconds, and computed nothing
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch.distributed", "featbank.recipes.brain", "tests.launching"])


def launch(
    act: Callable[..., Any], size: int, folder: Path, *arguments: Any, hosted: bool = False
) -> list[Any]:
    """Have ranks call a function with their rank and these arguments.

    Args:
        act: of a module; what it returns is kept as JSON.
        size: the number of ranks.
        folder: for what they find.
        arguments: of it.
        hosted: have rank 0 keep the store, as it does where nobody launched the ranks.

    Returns:
        What each rank found, None of one that was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / str(rank) for rank in range(size)]
    for file in files:
        file.unlink(missing_ok=True)
    # as runners start it, which may fork from the same server
    resource_tracker.ensure_running()
    choose_socket_folder()
    with _deaf_to_ctrl_c():
        forkserver.ensure_running()
    with _kept_store() as port:
        ranks = [
            _CONTEXT.Process(target=_rank, args=(act, rank, size, folder, port, hosted, arguments))
            for rank in range(size)
        ]
        with running_too(ranks):
            for rank in ranks:
                rank.join(HANG_S)
                assert rank.exitcode is not None, f"{rank} hangs"
    return [json.loads(file.read_text()) if file.exists() else None for file in files]


@contextmanager
def _kept_store() -> Iterator[int]:
    """Give the port of a store in which ranks meet, as torchrun's agent keeps one.

    Its process does nothing else and can be killed. In this one nothing would end it: its threads
    ask the name server for each who connects, and who drops it waits for them, in C and with the
    interpreter locked.
    """
    here, there = _CONTEXT.Pipe(duplex=False)
    with closing(here), running_too([_CONTEXT.Process(target=_keep_store, args=(there,))]):
        there.close()
        assert here.poll(HANG_S), "nobody keeps a store"
        yield here.recv()


def _keep_store(told: Connection[Any, Any]) -> None:
    store = torch.distributed.TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=True
    )
    told.send(store.port)
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()


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
