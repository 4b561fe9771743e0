"""Corpus layouts, which read the utterances of a corpus, by their public names."""

from __future__ import annotations

from typing import Any

from featbank.base.registry import Registry

CORPORA = Registry(
    kind="corpus layout",
    group="featbank.corpora",
    contract="featbank.corpora.base:Corpus",
    table={
        "table": "featbank.corpora.table:TableCorpus",
        "folder": "featbank.corpora.folder:FolderCorpus",
        "tree": "featbank.corpora.tree:TreeCorpus",
        "recordings": "featbank.corpora.recordings:RecordingsCorpus",
        "librispeech": "featbank.corpora.librispeech:LibriSpeechCorpus",
        "kaldi": "featbank.corpora.kaldi:KaldiCorpus",
        "fairseq": "featbank.corpora.fairseq:FairseqCorpus",
        "nemo": "featbank.corpora.nemo:NemoCorpus",
        "ljspeech": "featbank.corpora.ljspeech:LJSpeechCorpus",
        "lhotse": "featbank.corpora.lhotse:LhotseCorpus",
        "mls": "featbank.corpora.mls:MLSCorpus",
        "timit": "featbank.corpora.timit:TimitCorpus",
        "webdataset": "featbank.corpora.webdataset:WebDatasetCorpus",
        "huggingface": "featbank.corpora.huggingface:HuggingFaceCorpus",
    },
)


def __getattr__(name: str) -> Any:
    return CORPORA.offer(name)
