"""Time-aligned labels as aligners and corpora publish them: TextGrid, CTM, PHN, LibriSpeech's."""

from featbank.base.label_forms.source import LabelSource, open_labels

__all__ = ["LabelSource", "open_labels"]
