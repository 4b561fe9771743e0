"""Train a language model on units with torch alone, on any number of processes.

    torchrun --nproc_per_node 2 examples/unit_lm/with_torch.py STORE FOLDER

A run that was stopped goes on where its last checkpoint was taken: typed again, the same command
ends with the losses that an unbroken run has. It may go on with another number of processes.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.distributed as dist
from model import UnitLM
from torch.nn.parallel import DistributedDataParallel
from torchdata.stateful_dataloader import StatefulDataLoader

from featbank.dataset import TokenWindows, WindowSampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="tokens, such as data/tokens/demo/mfcc-kmeans100")
    parser.add_argument("folder", type=Path, help="where the checkpoint and the losses go")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=4, help="windows of a process")
    parser.add_argument("--checkpoint-steps", type=int, default=5)
    options = parser.parse_args()
    dist.init_process_group()
    torch.manual_seed(0)

    # inputs and targets: the same tokens, one further
    windows = TokenWindows(options.store, 65, split="train", overlap=1)
    sampler = WindowSampler(windows, seed=0)
    loader = StatefulDataLoader(windows, options.batch_size, sampler=sampler, num_workers=1)
    model = DistributedDataParallel(UnitLM(windows.vocab_size))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    run = Run(options.folder, model, optimizer, loader)
    while run.epoch < options.epochs:
        for batch in loader:
            loss = model(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.note(loss.detach(), is_saved=(run.step + 1) % options.checkpoint_steps == 0)
        run.epoch += 1
    if dist.get_rank() == 0:
        (options.folder / "losses.json").write_text(json.dumps(run.losses))
        print(f"{run.step} steps, the last loss {run.losses[-1]:.3f} nats a unit")
    dist.destroy_process_group()


class Run:
    """What is true of a run at any step, and what a checkpoint keeps of it."""

    def __init__(self, folder, model, optimizer, loader) -> None:
        self.folder, self.model, self.optimizer, self.loader = folder, model, optimizer, loader
        self.epoch, self.losses = 0, []
        if (checkpoint := folder / "checkpoint.pt").exists():
            state = torch.load(checkpoint, weights_only=True)
            self.epoch, self.losses = state["epoch"], state["losses"]
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            loader.load_state_dict(state["loader"])  # with the place in the data

    @property
    def step(self) -> int:
        return len(self.losses)

    def note(self, loss: torch.Tensor, *, is_saved: bool) -> None:
        """Note a step: the loss of all processes, and now and then a checkpoint."""
        dist.all_reduce(loss)
        self.losses.append(loss.item() / dist.get_world_size())
        if dist.get_rank() or not is_saved:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "epoch": self.epoch,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
        }
        torch.save(state, self.folder / "checkpoint.partial")
        (self.folder / "checkpoint.partial").replace(self.folder / "checkpoint.pt")


if __name__ == "__main__":
    main()
