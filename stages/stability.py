"""Audio -> how many tokens flip when it is disturbed; without `only=` those of every choice."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from featbank.errors import ConfigError, StoreError
from featbank.progress import progress_bar
from featbank.stage import chosen_stores, kind_and_option, refuse_tracked, stage
from featbank.store import HEADER_NAME, read_header
from featbank.units import UNITS
from featbank.validation.header import is_tokens
from featbank.validation.stability import Stability, write_stability

_log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="../conf", config_name="stability")
@stage
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.stability)
    if config.utterances < 1:
        raise ConfigError("utterances", expected="1 or more", got=config.utterances)
    if config.max_s <= 0:
        raise ConfigError("max_s", expected="seconds over 0", got=config.max_s)
    chosen = chosen_stores()
    names = chosen if config.only is None else [config.only]
    stores = {name: _token_stores(config, name) for name in names}
    results = {}
    for name in [name for name in names if not stores[name]]:
        _log.info("%s: no tokens that could flip", name)
        results[name] = Stability.of_nothing(name, config.seed)
    if len(results) < len(names):
        results |= _gauged(config, {name: some for name, some in stores.items() if some})
    for name, result in results.items():
        # the report's stage depends on the folder: only choices go there
        folder = config.paths.stability if name in chosen else config.runtime.stability
        write_stability(result, Path(folder, f"{name}.json"))


def _token_stores(config: DictConfig, name: str) -> list[str]:
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


def _gauged(config: DictConfig, stores: dict[str, list[str]]) -> dict[str, Stability]:
    # imported here, for the stage of a feature without codes needs neither torch nor an encoder
    from featbank.stability_stage import draw_sample, gauge_stability

    results = {}
    sample, audio_s = draw_sample(config)
    total_s = audio_s * len(stores)
    with progress_bar("stability", total_s, show=config.runtime.progress) as advance:
        for name, of_choice in stores.items():
            results[name] = gauge_stability(config, name, of_choice, sample, advance)
            for store, by_kind in results[name].stores.items():
                for kind, disturbed in by_kind.items():
                    _log.info("%s/%s, %s: %s", name, store, kind, disturbed)
    return results


if __name__ == "__main__":
    main()
