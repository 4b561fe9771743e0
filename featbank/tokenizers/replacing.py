"""Whether a codebook may take the place of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.errors import CodebookError
from featbank.tokenizers.codebook import load_codebook


def refuse_other_codebook(out: Path, fitted_on: Mapping[str, Any]) -> None:
    """Refuse to replace a codebook that was made in another way.

    Args:
        out: the codebook's file, which is there.
        fitted_on: what the new one's provenance will say of its making.

    Raises:
        CodebookError: what is there says something else.
    """
    found = load_codebook(out).provenance.get("fitted_on", {})
    changed = sorted(name for name in fitted_on if fitted_on[name] != found.get(name))
    if changed:
        raise CodebookError(
            f"codebook {out} was fitted in another way: {', '.join(changed)}",
            expected=", ".join(f"{name} {found.get(name)}" for name in changed),
            got=", ".join(f"{name} {fitted_on[name]}" for name in changed),
            hint="units of two codebooks do not mix: give the new one a name of its own "
            "(tokenizer.name=...), or replace it with overwrite=true",
        )
