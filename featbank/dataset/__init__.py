"""Training reads: datasets over stores, batches, samplers, and resuming after a stop."""

from featbank.dataset.bucketing import BucketBatchSampler
from featbank.dataset.features import FeatureDataset
from featbank.dataset.mixtures.mixture import Mixture
from featbank.dataset.mixtures.samplers import MixtureBatchSampler, MixtureSampler
from featbank.dataset.padding import Padded
from featbank.dataset.resumable import ResumableSampler
from featbank.dataset.tokens.encoded import EncodedTokens
from featbank.dataset.tokens.packed_windows import (
    PackedWindow,
    PackedWindows,
    collate_for_transformers,
)
from featbank.dataset.tokens.packing import PackedSequences
from featbank.dataset.tokens.patterns import Delayed, Flattened, Parallel
from featbank.dataset.tokens.speech_tasks import Interleaved, SpeechToText, TextToSpeech
from featbank.dataset.tokens.text_and_speech import TextAndSpeech, TokenSequence
from featbank.dataset.tokens.windows import TokenWindows
from featbank.dataset.window_sampler import WindowSampler

__all__ = [
    "BucketBatchSampler",
    "Delayed",
    "EncodedTokens",
    "FeatureDataset",
    "Flattened",
    "Interleaved",
    "Mixture",
    "MixtureBatchSampler",
    "MixtureSampler",
    "PackedSequences",
    "PackedWindow",
    "PackedWindows",
    "Padded",
    "Parallel",
    "ResumableSampler",
    "SpeechToText",
    "TextAndSpeech",
    "TextToSpeech",
    "TokenSequence",
    "TokenWindows",
    "WindowSampler",
    "collate_for_transformers",
]
