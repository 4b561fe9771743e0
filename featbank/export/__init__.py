"""Exports: stores written as the files that other toolkits read, by their public names."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from featbank.base.registry import Registry

EXPORTS = Registry(
    kind="export format",
    group="featbank.exports",
    contract="featbank.export.base:Export",
    table={
        "lhotse": "featbank.export.lhotse_cuts:LhotseExport",
        "hf": "featbank.export.huggingface:HuggingfaceExport",
        "webdataset": "featbank.export.webdataset:WebdatasetExport",
        "zarr": "featbank.export.zarr:ZarrExport",
        "kaldi": "featbank.export.kaldi:KaldiExport",
        "espnet": "featbank.export.espnet:EspnetExport",
        "fairseq": "featbank.export.fairseq:FairseqExport",
        "nemo": "featbank.export.nemo:NemoExport",
        "nanogpt": "featbank.export.nanogpt:NanogptExport",
        "megatron": "featbank.export.megatron:MegatronExport",
    },
)

_FUNCTION = "export_"


def __getattr__(name: str) -> Any:
    """Offer each format's class, and its function: `export_kaldi(stores, out)`."""
    if name.startswith(_FUNCTION) and name.removeprefix(_FUNCTION) in EXPORTS.table:
        exporting = import_module("featbank.export.exporting")  # which looks names up here
        return partial(exporting.export_stores, name.removeprefix(_FUNCTION))
    return EXPORTS.offer(name)
