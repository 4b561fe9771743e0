"""The licences of published weights, as torchaudio's documentation of each bundle states them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from featbank.errors import ConfigError

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


def published_license(bundle: str, stated: str | None) -> str:
    """Return the licence of a bundle's published weights, which `stated` must not contradict.

    Of a bundle that is not in `LICENSES`, only what is stated is known.

    >>> published_license("WAVLM_BASE", None), published_license("MMS_FA", "cc-by-nc-4.0")
    ('MIT', 'CC BY-NC 4.0')

    Raises:
        ConfigError: another licence is stated.
    """
    published = LICENSES.get(bundle)
    if published is None:
        return stated or ""
    if stated and _comparable(stated) != _comparable(published):
        raise ConfigError(
            f"license of {bundle}",
            expected=f"{published}, which its weights are published under",
            got=stated,
            hint="set license: null; only weights from a local file may be stated to have another",
        )
    return published


def _comparable(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
