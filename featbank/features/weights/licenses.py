"""Licences of published weights, as torchaudio's documentation and model cards state them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from featbank.errors import ConfigError
from featbank.features.weights.sources import FILE, RANDOM

_MIT = (
    *("HUBERT_BASE", "HUBERT_LARGE", "HUBERT_XLARGE", "HUBERT_ASR_LARGE", "HUBERT_ASR_XLARGE"),
    *("WAVLM_BASE", "WAVLM_BASE_PLUS", "WAVLM_LARGE"),
    *("WAV2VEC2_BASE", "WAV2VEC2_LARGE", "WAV2VEC2_LARGE_LV60K"),
    *("WAV2VEC2_XLSR53", "WAV2VEC2_XLSR_300M", "WAV2VEC2_XLSR_1B", "WAV2VEC2_XLSR_2B"),
    *(
        f"WAV2VEC2_ASR_{size}_{subset}"
        for size in ("BASE", "LARGE", "LARGE_LV60K")
        for subset in ("10M", "100H", "960H")
    ),
)
_CC_BY_NC = (
    "MMS_FA",
    *(f"VOXPOPULI_ASR_BASE_10K_{part}" for part in ("DE", "EN", "ES", "FR", "IT")),
)

LICENSES: Mapping[str, str] = {
    **dict.fromkeys(_MIT, "MIT"),
    **dict.fromkeys(_CC_BY_NC, "CC BY-NC 4.0"),
}
"""The licence of each bundle of `torchaudio.pipelines`."""

_WHISPER_SIZES = (
    *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
    *("large", "large-v2", "large-v3"),
)

HUB_LICENSES: Mapping[str, str] = {
    **dict.fromkeys((f"openai/whisper-{size}" for size in _WHISPER_SIZES), "Apache-2.0"),
    "facebook/data2vec-audio-base": "Apache-2.0",
    "facebook/w2v-bert-2.0": "MIT",
    "descript/dac_16khz": "MIT",
    "descript/dac_24khz": "MIT",
    "kyutai/mimi": "CC BY 4.0",
}
"""The licence of each model of the hub that an option names, where its card states one."""


def published_license(name: str, stated: str | None) -> str:
    """Return the licence of published weights, which `stated` must not contradict.

    Of those that are in neither table above, only what is stated is known.

    >>> published_license("WAVLM_BASE", None), published_license("MMS_FA", "cc-by-nc-4.0")
    ('MIT', 'CC BY-NC 4.0')

    Raises:
        ConfigError: another licence is stated.
    """
    published = LICENSES.get(name) or HUB_LICENSES.get(name)
    if published is None:
        return stated or ""
    if stated and _comparable(stated) != _comparable(published):
        raise ConfigError(
            f"license of {name}",
            expected=f"{published}, which its weights are published under",
            got=stated,
            hint="set license: null; only weights from a local file may be stated to have another",
        )
    return published


def license_of(source: str, name: str, stated: str | None) -> str:
    """Return the licence of weights: the published one, or the stated one of a local file.

    Args:
        source: `download`, `random` or `file`.
        name: of the published weights.
        stated: in the configuration.

    Raises:
        ConfigError: another licence is stated of published weights.
    """
    if source == FILE:
        return stated or ""  # it may hold any weights that fit the model
    published = published_license(name, stated)
    return "" if source == RANDOM else published


def _comparable(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
