"""The two kinds of stores that are compared: of a feature's values, and of units or codes."""

from __future__ import annotations

from collections.abc import Sequence

from featbank.base.amounts import percent
from featbank.certification.comparing import Comparison
from featbank.certification.findings import Difference
from featbank.certification.measuring import Measure, Place, measure_features, measure_tokens


class FeatureComparison(Comparison):
    """Compares the values of a feature, with a tolerance for each value."""

    def _measure(self, stored: Sequence[Place], computed: Sequence[Place]) -> Measure | None:
        [theirs], [ours] = stored, computed
        return measure_features(theirs, ours)

    def _judge(self, differences: Sequence[Difference]) -> None:
        for one in differences:
            allowed = self._tolerances.difference * self._moments.std + one.rounding
            if one.max_abs > allowed:
                self._beyond(one, f"values within {allowed:.3g} of those computed now", one)


class TokenComparison(Comparison):
    """Compares units or codes frame by frame, with a tolerance for the share of those that flip."""

    def _measure(self, stored: Sequence[Place], computed: Sequence[Place]) -> Measure | None:
        return measure_tokens(stored, computed)

    def _judge(self, differences: Sequence[Difference]) -> None:
        rate = sum(one.num_other_frames for one in differences) / max(1, self._num_frames)
        if rate > self._tolerances.flips:
            for one in differences:
                expected = f"at most {percent(self._tolerances.flips, 3)} of all frames to flip"
                self._beyond(one, expected, f"{percent(rate, 3)}; of these, {one}")
