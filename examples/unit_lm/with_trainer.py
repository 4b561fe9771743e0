"""Train a language model on units with the Trainer of transformers, on any number of processes.

    torchrun --nproc_per_node 2 examples/unit_lm/with_trainer.py STORE FOLDER

A run that was stopped goes on where its last checkpoint was taken.
"""

import argparse
import json
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from featbank.dataset import TokenWindows, WindowSampler


class UnitTrainer(Trainer):
    """Reads windows in the order of a `WindowSampler`, which accelerate shares out among ranks."""

    sampler: WindowSampler

    def get_train_dataloader(self) -> DataLoader:
        loader = DataLoader(
            self.train_dataset,
            self.args.per_device_train_batch_size,
            sampler=self.sampler,
            collate_fn=collate,
            drop_last=True,  # else accelerate fills the last batch from the first one of this run
        )
        return self.accelerator.prepare(loader)


class SavesPlace(TrainerCallback):
    """Keeps the place in the data beside each checkpoint, and goes on from there."""

    def __init__(self, sampler: WindowSampler, checkpoint: str | None) -> None:
        self.sampler, self.num_batches = sampler, 0
        if checkpoint:
            sampler.load_state_dict(json.loads(Path(checkpoint, "sampler.json").read_text()))

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self.num_batches = 0

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.num_batches += 1

    on_substep_end = on_step_end  # of a batch whose gradients are added to those of the next

    def on_save(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            place = self.sampler.state_dict(self.num_batches * args.per_device_train_batch_size)
            folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
            (folder / "sampler.json").write_text(json.dumps(place))


def collate(windows: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    tokens = torch.stack(windows)
    return {"input_ids": tokens, "labels": tokens}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="tokens, such as data/tokens/demo/mfcc-kmeans100")
    parser.add_argument("folder", type=Path, help="where checkpoints and losses go")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    windows = TokenWindows(options.store, 65, split="train", overlap=1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=windows.vocab_size,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    )
    arguments = TrainingArguments(
        output_dir=str(options.folder),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        logging_steps=1,
        save_steps=5,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        ignore_data_skip=True,  # the sampler itself goes on where it was
    )
    checkpoint = get_last_checkpoint(options.folder) if options.folder.is_dir() else None
    trainer = UnitTrainer(model, arguments, train_dataset=windows)
    trainer.sampler = WindowSampler(windows, seed=0)
    trainer.add_callback(SavesPlace(trainer.sampler, checkpoint))
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.is_world_process_zero():
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        (options.folder / "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main()
