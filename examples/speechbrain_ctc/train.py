"""Train CTC with speechbrain on stored features: extract once, on all ranks, then read by id.

    torchrun --nproc_per_node 2 examples/speechbrain_ctc/train.py \
        examples/speechbrain_ctc/hparams.yaml --device cpu --distributed_backend gloo

A second run computes no features, and goes on training where the last checkpoint was taken.
"""

import csv
import sys
from pathlib import Path

import soundfile
import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes

from featbank.dataset import BucketBatchSampler
from featbank.recipes.speechbrain import FeatureCachingMixin, stored_features

SPLITS = {"train": sb.Stage.TRAIN, "dev": sb.Stage.VALID, "test": sb.Stage.TEST}


class Recipe(FeatureCachingMixin, sb.Brain):
    """Computes features, and trains on what is stored of them."""

    def compute_features(self, batch, stage):
        # shares of the padded length; with the framing in hparams they give exact frame counts
        return {"id": batch.id, "fbank": (self.hparams.compute_fbank(batch.sig.data), batch.sig)}

    def compute_forward(self, batch, stage):
        features, lengths = batch.to(self.device).features
        hidden, _ = self.modules.encoder(self.modules.normalize(features.float(), lengths))
        return self.hparams.log_softmax(self.modules.output(hidden)), lengths

    def compute_objectives(self, predictions, batch, stage):
        log_probs, lengths = predictions
        characters, num_characters = batch.characters
        return self.hparams.ctc_cost(log_probs, characters, lengths, num_characters)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
        elif stage == sb.Stage.VALID:
            losses = {"loss": self.train_loss}, {"loss": stage_loss}
            self.hparams.train_logger.log_stats({"epoch": epoch}, *losses)
            self.checkpointer.save_and_keep_only(meta={"loss": stage_loss}, min_keys=["loss"])
        else:
            self.hparams.train_logger.log_stats({}, test_stats={"loss": stage_loss})


def read_rows(hparams):
    """Return the rows of the corpus by split, then by id."""
    rows = {split: {} for split in SPLITS}
    with open(Path(hparams["corpus"], "transcripts.tsv"), encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            path = Path(hparams["corpus"], row["path"])
            rows[row["split"]][path.stem] = {"path": str(path), "text": row["text"]}
    return rows


@takes("path")
@provides("sig")
def audio_item(path):
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def main():
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    sb.utils.distributed.ddp_init_group(run_opts)
    hparams = load_hyperpyyaml(Path(hparams_file).read_text(encoding="utf-8"), overrides)
    sb.utils.distributed.run_on_main(
        sb.create_experiment_directory, kwargs={"experiment_directory": hparams["folder"]}
    )
    recipe = Recipe(
        hparams["modules"], hparams["opt_class"], hparams, run_opts, hparams["checkpointer"]
    )
    rows = read_rows(hparams)
    for split, stage in SPLITS.items():
        audio = DynamicItemDataset(rows[split], [audio_item], ["id", "sig"])
        recipe.cache_features(audio, stage, batch_size=hparams["batch_size"])

    texts = [row["text"] for split in SPLITS for row in rows[split].values()]
    letters = sorted(set("".join(texts)))

    @takes("text")
    @provides("characters")
    def text_item(text):
        return torch.tensor([1 + letters.index(letter) for letter in text])

    data = {}
    for split, stage in SPLITS.items():
        reader = recipe.feature_readers[stage.name.lower()]["fbank"]
        items = [stored_features(reader, "features"), text_item]
        data[split] = DynamicItemDataset(rows[split], items, ["id", "features", "characters"])
        lengths = {one: reader.num_frames(one) for one in data[split].data_ids}
        if stage == sb.Stage.TRAIN:
            batches = BucketBatchSampler(list(lengths.values()), ids=lengths, max_frames=1000)
    recipe.fit(
        hparams["epoch_counter"],
        data["train"],
        data["dev"],
        train_loader_kwargs={"batch_sampler": batches},
        valid_loader_kwargs={"batch_size": hparams["batch_size"]},
    )
    recipe.evaluate(data["test"], test_loader_kwargs={"batch_size": hparams["batch_size"]})


if __name__ == "__main__":
    main()
