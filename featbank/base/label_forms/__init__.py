"""Time-aligned labels as aligners and corpora publish them: TextGrid, CTM, PHN, LibriSpeech's."""

from featbank.base.label_forms.source import LabelSource, open_labels
from featbank.base.label_forms.variants import find_labels, has_labels

__all__ = ["LabelSource", "find_labels", "has_labels", "open_labels"]
