"""A small language model on units: what the three training loops beside it have in common."""

import torch
from torch import nn


class UnitLM(nn.Module):
    """Predicts each token of a window from those before it."""

    def __init__(self, vocab_size: int, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.output = nn.Linear(width, vocab_size)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the mean loss in nats a token.

        Args:
            windows: (B, window_length), of which the first token is given.
        """
        hidden, _ = self.rnn(self.embedding(windows[:, :-1]))
        return nn.functional.cross_entropy(self.output(hidden).mT, windows[:, 1:])
