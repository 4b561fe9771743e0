"""Task of making a codebook, and the check that it may replace the existing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featbank.errors import CodebookError
from featbank.numerics import ON_CPU, Computing
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.fit_sample import Sample, open_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookTask:
    """A codebook to be made for the frames of a sample, by fitting one or adopting one.

    Args:
        sample: the sample store, or a folder with one for each corpus.
        corpora: that the sample joins, by its definition; none where nobody says.
        out: the codebook's file.
        seed: of the frames that are drawn, and of the fit.
        computing: device and threads.
        overwrite: replace a codebook that was made in another way.
    """

    sample: Path
    out: Path
    seed: int
    corpora: Sequence[str] = ()
    computing: Computing = ON_CPU
    overwrite: bool = False

    def open_sample(self) -> Sample:
        """Open the sample that the codebook is fitted on.

        Raises:
            StoreError: it is damaged, or of other corpora.
        """
        return open_sample(self.sample, self.corpora)

    def refuse_other(self, fitted_on: Mapping[str, object]) -> None:
        """Refuse to replace a codebook that was made in another way.

        Args:
            fitted_on: what the new one's provenance will say of its making.

        Raises:
            CodebookError: what is there says something else, and is not to be replaced.
        """
        if self.overwrite or not self.out.exists():
            return
        found = load_codebook(self.out).provenance.get("fitted_on", {})
        changed = sorted(name for name in fitted_on if fitted_on[name] != found.get(name))
        if changed:
            raise CodebookError(
                f"codebook {self.out} was fitted in another way: {', '.join(changed)}",
                expected=", ".join(f"{name} {found.get(name)}" for name in changed),
                got=", ".join(f"{name} {fitted_on[name]}" for name in changed),
                hint="units of two codebooks do not mix: give the new one a name of its own "
                "(tokenizer.name=...), or replace it with overwrite=true",
            )
