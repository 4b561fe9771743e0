"""What params.yaml may choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from featbank.errors import ConfigError
from featbank.pipeline.choices import chosen_stores


@pytest.mark.parametrize(
    "choice",
    [
        "features: [../../x]",
        "features: [[fbank]]",
        "features: [null]",
        "features: [fbank]\ntokens: {a: {feature: mfcc, tokenizer: ../x}}",
        "features: [fbank]\ntokens: {a: {feature: [x], tokenizer: b}}",
        "features: [fbank]\ntokens: {a: {feature: '${oc.env:HOME}', tokenizer: b}}",
    ],
)
def test_a_choice_that_is_no_name_is_refused_before_a_file_is_named_by_it(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stated = choice if "tokens:" in choice else f"{choice}\ntokens: {{}}"
    Path("params.yaml").write_text(f"{stated}\ntokens_from_audio: {{}}\n")
    with pytest.raises(ConfigError, match=r"params\.yaml: (features|tokens\.a): expected letters"):
        chosen_stores()
