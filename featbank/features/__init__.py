"""Extractors, which turn waveforms into arrays, by their public names.

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
        "fbank": "featbank.features.signal.kaldi:Fbank",
        "mfcc": "featbank.features.signal.kaldi:Mfcc",
        "spectrogram": "featbank.features.signal.stft:Spectrogram",
        "energy": "featbank.features.signal.stft:Energy",
        "whisper_log_mel": "featbank.features.signal.log_mel:WhisperLogMel",
        "vocoder_mel": "featbank.features.signal.log_mel:VocoderMel",
        "f0": "featbank.features.signal.pitch:F0",
        "torchaudio_encoder": "featbank.features.encoders.ssl:SslEncoder",
        "transformers_encoder": "featbank.features.encoders.transformers_ssl:TransformersEncoder",
        "w2v_bert": "featbank.features.encoders.w2v_bert:Wav2Vec2BertEncoder",
        "whisper": "featbank.features.encoders.whisper:WhisperEncoder",
        "encodec": "featbank.features.codecs.encodec:Encodec",
        "dac": "featbank.features.codecs.dac:Dac",
        "mimi": "featbank.features.codecs.mimi:Mimi",
        "xcodec": "featbank.features.codecs.xcodec:Xcodec",
        "several": "featbank.features.several:Several",
        "pooled": "featbank.features.pooled:Pooled",
    },
)


def __getattr__(name: str) -> Any:
    return EXTRACTORS.offer(name)
