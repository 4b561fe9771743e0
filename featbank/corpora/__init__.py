"""Corpus layouts, which read the utterances of a corpus, by their public names."""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

CORPORA = Registry(
    kind="corpus layout",
    group="featbank.corpora",
    contract="featbank.corpora.base:Corpus",
    table={
        "table": "featbank.corpora.layouts.table:TableCorpus",
        "folder": "featbank.corpora.layouts.folder:FolderCorpus",
        "tree": "featbank.corpora.layouts.tree:TreeCorpus",
        "recordings": "featbank.corpora.layouts.recordings:RecordingsCorpus",
        "librispeech": "featbank.corpora.layouts.librispeech:LibriSpeechCorpus",
        "kaldi": "featbank.corpora.layouts.kaldi.corpus:KaldiCorpus",
        "fairseq": "featbank.corpora.layouts.fairseq:FairseqCorpus",
        "nemo": "featbank.corpora.layouts.nemo:NemoCorpus",
        "librilight": "featbank.corpora.layouts.librilight:LibriLightCorpus",
        "ljspeech": "featbank.corpora.layouts.ljspeech:LJSpeechCorpus",
        "lhotse": "featbank.corpora.layouts.lhotse.corpus:LhotseCorpus",
        "mls": "featbank.corpora.layouts.mls:MLSCorpus",
        "timit": "featbank.corpora.layouts.timit:TimitCorpus",
        "webdataset": "featbank.corpora.layouts.webdataset:WebDatasetCorpus",
        "huggingface": "featbank.corpora.layouts.huggingface:HuggingFaceCorpus",
    },
)


def __getattr__(name: str) -> Any:
    return CORPORA.offer(name)
