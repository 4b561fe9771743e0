"""Waveforms to arrays: the extractors by their public names.

A new extractor is a line of `EXTRACTORS`: its name, which identifies what it computes for good, and
where its class lies, which may change. The classes are to be had from here, too, by their own
names: `featbank.features.Fbank`.
"""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

EXTRACTORS = Registry(
    kind="extractor",
    group="featbank.extractors",
    contract="featbank.features.base:Extractor",
    table={
        "fbank": "featbank.features.kaldi:Fbank",
        "mfcc": "featbank.features.kaldi:Mfcc",
        "spectrogram": "featbank.features.stft:Spectrogram",
        "energy": "featbank.features.stft:Energy",
        "whisper_log_mel": "featbank.features.log_mel:WhisperLogMel",
        "vocoder_mel": "featbank.features.log_mel:VocoderMel",
        "f0": "featbank.features.pitch:F0",
        "torchaudio_encoder": "featbank.features.ssl:SslEncoder",
        "transformers_encoder": "featbank.features.transformers_ssl:TransformersEncoder",
        "w2v_bert": "featbank.features.w2v_bert:Wav2Vec2BertEncoder",
        "whisper": "featbank.features.whisper:WhisperEncoder",
        "encodec": "featbank.features.codecs:Encodec",
        "dac": "featbank.features.codecs:Dac",
        "mimi": "featbank.features.codecs:Mimi",
        "xcodec": "featbank.features.codecs:Xcodec",
        "several": "featbank.features.several:Several",
        "pooled": "featbank.features.pooled:Pooled",
    },
)


def __getattr__(name: str) -> Any:
    return EXTRACTORS.offer(name)
