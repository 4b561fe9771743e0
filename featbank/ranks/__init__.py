"""Coordination of the ranks of a launched run: who they are, whether they live, messages.

Through the keys of the run's own store, which are polled. No collective is called: nobody waits for
one that is gone, and nothing ends what takes long.
"""

from featbank.ranks.meeting import Meeting
from featbank.ranks.standing import Standing, alone, standing
from featbank.ranks.watching import Patience

__all__ = ["Meeting", "Patience", "Standing", "alone", "standing"]
