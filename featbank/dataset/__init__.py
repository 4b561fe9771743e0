"""Training reads: datasets over stores, batches of them, and where a run goes on after a stop."""

from featbank.dataset.bucketing import BucketBatchSampler
from featbank.dataset.encoded_tokens import EncodedTokens
from featbank.dataset.features import FeatureDataset
from featbank.dataset.mixing import Mixture, MixtureSampler
from featbank.dataset.packed_windows import PackedWindow, PackedWindows, collate_for_transformers
from featbank.dataset.padding import Padded
from featbank.dataset.resumable import ResumableSampler
from featbank.dataset.token_patterns import Delayed, Flattened, Parallel
from featbank.dataset.token_windows import TokenWindows
from featbank.dataset.window_sampler import WindowSampler

__all__ = [
    "BucketBatchSampler",
    "Delayed",
    "EncodedTokens",
    "FeatureDataset",
    "Flattened",
    "Mixture",
    "MixtureSampler",
    "PackedWindow",
    "PackedWindows",
    "Padded",
    "Parallel",
    "ResumableSampler",
    "TokenWindows",
    "WindowSampler",
    "collate_for_transformers",
]
