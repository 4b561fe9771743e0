"""Train a language model on units with Lightning, on any number of processes.

    python examples/unit_lm/with_lightning.py STORE FOLDER --devices 2

A run that was stopped goes on where its last checkpoint was taken.
"""

import argparse
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from model import UnitLM
from torchdata.stateful_dataloader import StatefulDataLoader

from featbank.dataset import TokenWindows, WindowSampler


class LitUnitLM(lightning.LightningModule):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.model = UnitLM(vocab_size)

    def training_step(self, windows: torch.Tensor, index: int) -> torch.Tensor:
        loss = self.model(windows)
        self.log("loss", loss, on_step=True, sync_dist=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="tokens, such as data/tokens/demo/mfcc-kmeans100")
    parser.add_argument("folder", type=Path, help="where checkpoints and losses go")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    lightning.seed_everything(0)
    windows = TokenWindows(options.store, 65, split="train", overlap=1)
    # a stateful loader: Lightning puts its place into each checkpoint, and goes on from there
    loader = StatefulDataLoader(windows, batch_size=4, sampler=WindowSampler(windows, seed=0))
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=options.devices,
        strategy="ddp",
        max_epochs=options.epochs,
        use_distributed_sampler=False,  # the sampler shares out by itself
        logger=CSVLogger(options.folder, name="losses"),  # a file for each time it was started
        log_every_n_steps=1,
        callbacks=[ModelCheckpoint(options.folder, "last", every_n_train_steps=5)],
    )
    last = options.folder / "last.ckpt"
    trainer.fit(LitUnitLM(windows.vocab_size), loader, ckpt_path=last if last.exists() else None)


if __name__ == "__main__":
    main()
