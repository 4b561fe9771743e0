"""One rank of a launched run: reads samplers by the real frameworks, writes down what it was given.

Run as `python tests/dataset/ranks.py FRAMEWORKS FOLDER`, one process a rank, by
`test_frameworks.py`. Each function returns lists of batches of numbers, by what was tried.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
sys.path[0] = str(Path(__file__).parents[2])

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchdata.stateful_dataloader import StatefulDataLoader  # noqa: E402

from featbank.dataset import (  # noqa: E402
    BucketBatchSampler,
    ResumableSampler,
    TokenWindows,
    WindowSampler,
)
from featbank.errors import ConfigError  # noqa: E402

Batches = list[list[int]]

NUM_UTTERANCES = 61
LENGTHS = np.random.default_rng(0).integers(20, 200, NUM_UTTERANCES)
FOLDER = Path(sys.argv[2])
RANK, NUM_RANKS = (int(os.environ.get(name, one)) for name, one in (("RANK", 0), ("WORLD_SIZE", 1)))
KINDS = "batches", "windows"


def batches(**options: Any) -> BucketBatchSampler:
    return BucketBatchSampler(LENGTHS, max_frames=500, num_buckets=5, **options)


def windows(**options: Any) -> WindowSampler:
    return WindowSampler(TokenWindows(FOLDER / "units", 16), shards_at_once=2, **options)


def sampler_of(kind: str) -> ResumableSampler[Any]:
    return batches() if kind == "batches" else windows()


def kept_numbers(numbers: list[int]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None]


def loader_of(
    kind: str,
    sampler: ResumableSampler[Any] | None = None,
    loader: Callable[..., Any] = DataLoader,
    **options: Any,
) -> Any:
    """Make a loader of numbers: of utterances in batches, or of windows in fours."""
    sampler = sampler_of(kind) if sampler is None else sampler
    options["collate_fn"] = kept_numbers
    if kind == "batches":
        return loader(range(NUM_UTTERANCES), batch_sampler=sampler, **options)
    count = sampler._num_picks()
    return loader(range(count), **{"batch_size": 4, **options}, sampler=sampler)


def read(loader: Any) -> Batches:
    return [numbers_of(batch) for batch in loader]


def numbers_of(batch: torch.Tensor) -> list[int]:
    return batch[:, 0].int().tolist()


def refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except (ConfigError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    except RuntimeError as error:  # what Lightning says while it ends after an error
        return str(error.__context__)
    return "not refused"


def torch_alone() -> dict[str, Any]:
    early = batches()
    by_environment = list(batches())
    torch.distributed.init_process_group("gloo")
    found: dict[str, Any] = {
        "made before the group": list(early),
        "read before the group": by_environment,
        "lengths": [len(early), early.num_ranks, early.rank, early.remaining],
        "typed": [list(batches(rank=0, num_ranks=1)), list(batches(rank=1, num_ranks=2))],
    }
    for kind in KINDS:
        found[f"{kind} with workers"] = read(loader_of(kind, num_workers=2))
        whole = loader_of(kind, loader=StatefulDataLoader)
        passes = [read(whole) for _ in range(3)]
        for num_workers in (0, 2):

            def made(num_workers: int = num_workers, kind: str = kind) -> Any:
                return loader_of(kind, loader=StatefulDataLoader, num_workers=num_workers)

            stopped = made()
            read(stopped)
            iterator = iter(stopped)
            head = [numbers_of(next(iterator)) for _ in range(3)]
            resumed = made()
            resumed.load_state_dict(stopped.state_dict())
            again = [head + read(resumed), read(resumed)]
            found[f"{kind} resumed with {num_workers} workers"] = [again, passes[1:]]
    return found


def accelerate() -> dict[str, Any]:
    from accelerate import Accelerator, skip_first_batches
    from accelerate.utils import DataLoaderConfiguration

    def prepared(options: dict[str, Any], kind: str, **more: Any) -> Any:
        one = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**options))
        return one.prepare(loader_of(kind, **more))

    found: dict[str, Any] = {}
    for kind in KINDS:
        loader = prepared({}, kind, num_workers=2)
        found[kind] = [read(loader), read(loader)]
        found[f"{kind} once"] = read(prepared({"even_batches": False}, kind))
        loader = prepared({}, kind)
        passes = [read(loader) for _ in range(4)]
        loader = prepared({}, kind)
        loader.set_epoch(2)
        again = [read(skip_first_batches(loader, 3))]
        loader.set_epoch(3)
        again.append(read(loader))
        found[f"{kind} skipped"] = [again, [passes[2][3:], passes[3]]]
        loader = skip_first_batches(prepared({}, kind), 0)
        loader.set_epoch(2)
        found[f"{kind} skipped none"] = [read(loader), passes[2]]
        for num_workers in (0, 2):
            options, more = {"use_stateful_dataloader": True}, {"num_workers": num_workers}
            loader = prepared(options, kind, **more)
            read(loader)
            iterator = iter(loader)
            head = [numbers_of(next(iterator)) for _ in range(3)]
            state = loader.state_dict()
            loader = prepared(options, kind, **more)
            loader.load_state_dict(state)
            loader.set_epoch(1)
            again = [head + read(loader), read(loader)]
            found[f"{kind} resumed with {num_workers} workers"] = [again, passes[1:3]]
        sampler = sampler_of(kind)
        iterator = iter(prepared({}, kind, sampler=sampler))
        head = [numbers_of(next(iterator)) for _ in range(3)]
        found[f"{kind} ahead"] = refusal(sampler.state_dict)
        state = sampler.state_dict(num_done=3 if kind == "batches" else 12)
        sampler = sampler_of(kind)
        sampler.load_state_dict(state)
        loader = prepared({}, kind, sampler=sampler)
        found[f"{kind} by state"] = [head + read(loader), read(loader)]
    found["dispatched"] = refusal(lambda: read(prepared({"dispatch_batches": True}, "batches")))
    if RANK == 0:  # who reads for all; the others wait for what it sends
        found["dispatched, skipped"] = refusal(
            lambda: read(skip_first_batches(prepared({"dispatch_batches": True}, "batches"), 1))
        )
    found["windows dispatched"] = read(prepared({"dispatch_batches": True}, "windows"))
    found["split"] = refusal(lambda: prepared({"split_batches": True}, "batches"))
    size = {"batch_size": 4 * NUM_RANKS}
    found["windows split"] = read(prepared({"split_batches": True}, "windows", **size))
    return found


def transformers() -> dict[str, Any]:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(1, 1)
            self.given: Batches = []

        def forward(self, numbers: torch.Tensor) -> dict[str, torch.Tensor]:
            self.given.append(numbers_of(numbers))
            return {"loss": self.linear(numbers / 100).square().mean()}

    states: dict[int, Any] = {}

    class KeepState(TrainerCallback):
        def __init__(self, sampler: ResumableSampler[Any]) -> None:
            self.sampler = sampler

        def on_save(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            num_done = state.global_step % len(self.sampler) or len(self.sampler)
            states.setdefault(state.global_step, self.sampler.state_dict(num_done))

    class Training(Trainer):
        sampler: Any

        def get_train_dataloader(self) -> Any:
            loader = loader_of("batches", self.sampler)
            loader.collate_fn = lambda numbers: {"numbers": kept_numbers(numbers)}
            return self.accelerator.prepare(loader)

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")

    def fit(sampler: Any, resume: int = 0, **options: Any) -> Batches:
        torch.manual_seed(0)
        arguments = TrainingArguments(
            str(FOLDER / "transformers"),
            use_cpu=True,
            num_train_epochs=2,
            save_steps=3,
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            ddp_find_unused_parameters=False,
            **options,
        )
        callbacks = [] if resume else [KeepState(sampler)]
        trainer = Training(Model(), arguments, train_dataset=range(1), callbacks=callbacks)
        trainer.sampler = sampler
        checkpoint = f"{arguments.output_dir}/checkpoint-{resume}" if resume else None
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer.model.given

    given = fit(batches())
    epoch = len(batches())
    step = (epoch // 3 + 1) * 3
    resumed = fit(batches(), step)
    stateful = batches()
    stateful.load_state_dict(states[step])
    by_state = fit(stateful, step, ignore_data_skip=True)
    both = batches()
    both.load_state_dict(states[step])
    return {
        "batches": [given[:epoch], given[epoch:]],
        "skipped": [resumed, given[step:]],
        "by state": [given[epoch:step] + by_state],
        "both": refusal(lambda: fit(both, step)),
    }


def lightning() -> dict[str, Any]:
    import lightning as pl
    from lightning.pytorch.callbacks import ModelCheckpoint

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(1, 1)
            self.given: Batches = []

        def training_step(self, numbers: torch.Tensor, _: int) -> torch.Tensor:
            self.given.append(numbers_of(numbers))
            return self.linear(numbers / 100).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    def fit(
        loader: Any, *, wrapped: bool, keep: Path | None = None, resume: Path | None = None
    ) -> Batches:
        torch.manual_seed(0)
        callbacks = [ModelCheckpoint(keep, filename="{step}", save_top_k=-1, every_n_train_steps=1)]
        trainer = pl.Trainer(
            accelerator="cpu",
            strategy="ddp",
            devices=NUM_RANKS,
            max_epochs=2,
            use_distributed_sampler=wrapped,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=keep is not None,
            callbacks=callbacks if keep else [],
        )
        module = Module()
        checkpoint = {"ckpt_path": resume, "weights_only": False} if resume else {}
        trainer.fit(module, loader, **checkpoint)
        return module.given

    found: dict[str, Any] = {"not told": refusal(lambda: fit(loader_of("batches"), wrapped=True))}
    for kind, wrapped, num_workers in (
        ("batches", False, 2),
        ("windows", False, 0),
        ("windows", True, 0),
    ):

        def made(kind: str = kind, num_workers: int = num_workers) -> Any:
            return loader_of(kind, loader=StatefulDataLoader, num_workers=num_workers)

        folder = FOLDER / f"lightning-{kind}-{wrapped}"
        given = fit(made(), wrapped=wrapped, keep=folder)
        epoch = len(given) // 2
        name = f"{kind} wrapped" if wrapped else kind
        found[name] = [given[:epoch], given[epoch:]]
        if wrapped:
            again = fit(made(), wrapped=True, resume=folder / "step=2.ckpt")
            found[f"{name} resumed at 2"] = [again, given[2:]]
            for step in (epoch, epoch + 2):
                path = folder / f"step={step}.ckpt"
                found[f"{name} at {step - epoch}"] = refusal(
                    lambda path=path: fit(made(), wrapped=True, resume=path)
                )
            continue
        for step in (2, epoch, epoch + 2):
            again = fit(made(), wrapped=False, resume=folder / f"step={step}.ckpt")
            found[f"{name} resumed at {step - epoch}"] = [again, given[step:]]
    return found


def speechbrain() -> dict[str, Any]:
    import speechbrain as sb
    from speechbrain.utils.checkpoints import Checkpointer
    from speechbrain.utils.epoch_loop import EpochCounter

    class HaltError(Exception):
        pass

    class Brain(sb.Brain):
        given: Batches
        halt: int

        def compute_forward(self, batch: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            self.given.append(numbers_of(batch))
            return self.modules.linear(batch / 100)

        def compute_objectives(self, output: torch.Tensor, *_: Any, **__: Any) -> Any:
            return output.square().mean()

        def fit_batch(self, batch: torch.Tensor) -> Any:
            if len(self.given) == self.halt:
                raise HaltError
            return super().fit_batch(batch)

    if NUM_RANKS > 1:
        sb.utils.distributed.ddp_init_group({"distributed_backend": "gloo"})

    def fit(kind: str, folder: Path | None = None, halt: int = -1) -> Batches:
        torch.manual_seed(0)
        linear, counter = torch.nn.Linear(1, 1), EpochCounter(2)
        brain = Brain(
            {"linear": linear},
            lambda parameters: torch.optim.SGD(parameters, 0.1),
            hparams={"sorting": "random"},
            run_opts={
                "device": "cpu",
                "distributed_backend": "gloo",
                "noprogressbar": True,
                "ckpt_interval_steps": 2 if folder else 0,
            },
            checkpointer=folder and Checkpointer(folder, {"linear": linear, "counter": counter}),
        )
        brain.given, brain.halt = [], halt
        options: dict[str, Any] = {"collate_fn": kept_numbers}
        if kind == "batches":
            count, options["batch_sampler"] = NUM_UTTERANCES, batches()
        else:
            options |= {"sampler": windows(), "batch_size": 4}
            count = options["sampler"]._num_picks()
        try:
            brain.fit(counter, range(count), train_loader_kwargs=options)
        except HaltError:
            brain.checkpointer = None
        return brain.given

    found: dict[str, Any] = {}
    for kind in KINDS:
        given = fit(kind)
        epoch = len(given) // 2
        found[kind] = [given[:epoch], given[epoch:]]
        folder = FOLDER / f"{kind}-halted"
        head = fit(kind, folder, halt=epoch + 2)  # where a checkpoint is
        found[f"{kind} resumed"] = [head + fit(kind, folder), given]
    return found


def loop_around_speechbrain() -> dict[str, Any]:
    from speechbrain.dataio.dataloader import SaveableDataLoader
    from speechbrain.utils.checkpoints import Checkpointer

    found: dict[str, Any] = {}
    for kind in KINDS:
        loader = loader_of(kind, loader=SaveableDataLoader)
        first, second = read(loader), read(loader)
        keeper = Checkpointer(FOLDER / f"{kind}-kept", {"loader": loader})
        iterator = iter(loader)
        for _ in range(3):
            next(iterator)
        keeper.save_checkpoint(end_of_epoch=False)
        for told in (True, False):
            sampler = sampler_of(kind)
            loader = loader_of(kind, sampler, SaveableDataLoader)
            Checkpointer(keeper.checkpoints_dir, {"loader": loader}).recover_if_possible()
            if told:
                sampler.set_epoch(1)
                found[f"{kind} resumed"] = [first, [*second[:3], *read(loader)], second]
            else:
                found[f"{kind} not told"] = refusal(lambda loader=loader: read(loader))
    return found


def results() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in sys.argv[1].split(","):
        yield name, globals()[name]()


if __name__ == "__main__":
    torch.set_num_threads(1)
    (FOLDER / f"rank{RANK}.json").write_text(json.dumps(dict(results())))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
