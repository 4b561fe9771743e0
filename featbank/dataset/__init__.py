"""Training reads: datasets over stores, batches of them, and where a run goes on after a stop."""

from featbank.dataset.bucketing import BucketBatchSampler
from featbank.dataset.features import FeatureDataset
from featbank.dataset.mixing import Mixture, MixtureSampler
from featbank.dataset.padding import Padded
from featbank.dataset.resumable import ResumableSampler
from featbank.dataset.token_windows import TokenWindows, WindowSampler

__all__ = [
    "BucketBatchSampler",
    "FeatureDataset",
    "Mixture",
    "MixtureSampler",
    "Padded",
    "ResumableSampler",
    "TokenWindows",
    "WindowSampler",
]
