"""Count the tokens that change where the audio is disturbed a little.

Examples:
    python stages/stability.py                             # of all choices
    python stages/stability.py only=tokens/mfcc-kmeans100  # of one choice
    python stages/stability.py corpus=demo runner=inline   # in one process
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from collections.abc import Iterator
from pathlib import Path

from featbank.base.progress import progress_bar
from featbank.base.units import UNITS
from featbank.errors import StoreError
from featbank.pipeline.choices import chosen_stores, kind_and_option
from featbank.pipeline.configs import StabilityConfig
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.stability.result import Stability, write_stability
from featbank.store import HEADER_NAME, read_header
from featbank.validation.header import is_tokens

_log = logging.getLogger(__name__)


@stage(StabilityConfig)
def main(config: StabilityConfig) -> None:
    chosen = chosen_stores()
    names = chosen if config.only is None else [config.only]
    for name in names:
        kind_and_option(name)
        if name in chosen:
            out = Path(config.paths.stability, f"{name}.json")
            refuse_tracked(config, out, hint="write it elsewhere: paths.stability=FOLDER")
    stores = {name: _token_stores(config, name) if config.utterances else [] for name in names}
    for name, result in _results(config, stores):
        # the report's stage depends on the folder: only choices go there
        by_hand = Path(config.runtime.stability, config.corpus.name)
        folder = config.paths.stability if name in chosen else by_hand
        write_stability(result, Path(folder, f"{name}.json"))


def _token_stores(config: StabilityConfig, name: str) -> list[str]:
    """Return which stores of a choice hold tokens: units, or codes of an extractor.

    Raises:
        StoreError: nothing of the choice is stored.
    """
    kind, option = kind_and_option(name)
    if kind == "tokens":
        return [UNITS]
    folder = Path(config.paths.root, kind, config.corpus.name, option)
    headers = [path.parent for path in folder.glob(f"*/*/{HEADER_NAME}")]
    if not headers:
        hint = f"run python stages/extract.py feature={option}"
        raise StoreError(f"stores in {folder}", expected="some", got="none", hint=hint)
    return sorted({path.parent.name for path in headers if is_tokens(read_header(path))})


def _results(
    config: StabilityConfig, stores: dict[str, list[str]]
) -> Iterator[tuple[str, Stability]]:
    """Give each choice's as soon as it is there."""
    corpus = read_corpus(config.paths.manifests).digest
    for name in [name for name, of_choice in stores.items() if not of_choice]:
        told = "no tokens that could flip" if config.utterances else "not measured (utterances: 0)"
        _log.info("%s: %s", name, told)
        yield name, Stability.of_nothing(name, config.seed, corpus)
    if not (with_tokens := {name: some for name, some in stores.items() if some}):
        return
    # imported here, for the stage of a feature without codes needs neither torch nor an encoder
    from featbank.pipeline.stability import draw_sample, drop_disturbed, gauge_stability

    drop_disturbed(config, with_tokens)
    sample, audio_s = draw_sample(config)
    total_s = audio_s * len(with_tokens)
    with progress_bar("stability", total_s, show=config.runtime.progress) as advance:
        for name, of_choice in with_tokens.items():
            result = gauge_stability(
                config, name, of_choice, sample=sample, corpus=corpus, advance=advance
            )
            for store, by_kind in result.stores.items():
                for kind, disturbed in by_kind.items():
                    _log.info("%s/%s, %s: %s", name, store, kind, disturbed)
                if not by_kind:
                    _log.warning("%s/%s: no utterance of the sample has a frame", name, store)
            yield name, result


if __name__ == "__main__":
    run_script(main)
