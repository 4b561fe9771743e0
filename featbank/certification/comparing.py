"""Compare stores, row by row, with a sample of their utterances that was computed again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

from featbank.base.amounts import percent
from featbank.base.failures import Failure
from featbank.base.manifest import Utterance
from featbank.certification.certificate import StoreCertificate
from featbank.certification.findings import Deviation, Difference, Tolerances
from featbank.comparison.measuring import (
    Measure,
    StoredRow,
    find,
    measure_features,
    measure_tokens,
    same_bits,
)
from featbank.files.provenance import canonical_json, digest
from featbank.numerics import give_equal_bits
from featbank.store import Numerics, Store
from featbank.store.healing import heal
from featbank.store.verify import is_sound
from featbank.validation.moments import ValueMoments
from featbank.validation.result import ProblemLog

Stores = Mapping[str, Store]
"""The stores of one split by name: of one feature, or of units and their durations."""


class Comparison(ABC):
    """Compares stores of one feature, or of units and their durations, split by split.

    Args:
        name: of the feature, or `units`.
        place: how sentences name the choice, such as `features/fbank`.
        tolerances: between numerics classes.
    """

    def __init__(self, name: str, place: str, tolerances: Tolerances) -> None:
        self._name = name
        self._tolerances = tolerances
        self._log = ProblemLog(f"store {place}/{name}")
        self._stores: dict[str, Store] = {}
        self._versions: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
        self._numerics = _Classes(), _Classes()
        self._num_equal = self._num_failed = self._num_frames = 0
        self._max_abs = self._sum_abs = 0.0
        self._moments = ValueMoments()
        self._differences: list[Difference] = []

    @abstractmethod
    def _measure(
        self, stored: Sequence[StoredRow], computed: Sequence[StoredRow]
    ) -> Measure | None:
        """Compare the values of an utterance; None where they cannot be compared."""

    @abstractmethod
    def _judge(self, differences: Sequence[Difference]) -> None:
        """Note which differences between two numerics classes are beyond the tolerances."""

    def add(
        self,
        split: str,
        rows: Iterable[Utterance],
        stored: Stores,
        computed: Stores,
        features: Store | None = None,
    ) -> None:
        """Compare utterances of a split.

        Args:
            split: of them.
            rows: those that were computed again.
            stored: by name.
            computed: likewise.
            features: what the stored units were assigned from, where that is still there.

        Raises:
            StoreError: a store is damaged.
        """
        self._stores |= {f"{name}/{split}": store for name, store in stored.items()}
        self._versions = _versions(stored), _versions(computed)
        failed = {failure.id for store in stored.values() for failure in store.failures}
        failures = {one.id: one for store in computed.values() for one in store.failures}
        for row in rows:
            theirs = [place for store in stored.values() if (place := find(store, row.id))]
            ours = [place for store in computed.values() if (place := find(store, row.id))]
            if not theirs and not ours and row.id in failed:
                self._num_failed += 1
            elif len(theirs) < len(stored) or not ours:
                before = "a failure" if row.id in failed else "no row"
                self._log.add(
                    "not computed as before",
                    f"{split}, utterance {row.id!r}",
                    expected="values" if len(theirs) == len(stored) else before,
                    got=_told(failures[row.id]) if row.id in failures else "values",
                )
            elif self._is_comparable(row, split, theirs):
                source = find(features, row.id) if features else None
                self._compare(row.id, split, theirs, ours, [source] if source else [])

    def _is_comparable(self, row: Utterance, split: str, stored: Sequence[StoredRow]) -> bool:
        """Note where stored rows are of other audio, or damaged."""
        where = f"{split}, utterance {row.id!r}"
        for one in stored:
            if one.input_digest != row.input_digest:
                self._log.add(
                    "other audio",
                    where,
                    expected=f"input digest {row.input_digest.hex()}",
                    got=one.input_digest.hex(),
                )
                return False
        for one in stored:
            if not is_sound(one.shard, one.row):
                self._log.add(
                    "damaged row",
                    where,
                    expected="the values that were written",
                    got=f"others in {one.shard.path}; {heal(one.shard.path.parent)}",
                )
                return False
        return True

    def result(self) -> StoreCertificate:
        """Judge what was found."""
        for one in self._differences:
            if one.same_class:
                self._log.add(
                    "other bits",
                    f"{one.split}, utterance {one.id!r}",
                    expected="equal bits, for this is a machine of the same numerics class",
                    got=one,
                )
        self._judge([one for one in self._differences if not one.same_class])
        moments = self._moments
        deviation = Deviation(
            max_abs=self._max_abs,
            mean_abs=self._sum_abs / max(1, moments.count),
            minimum=moments.minimum,
            maximum=moments.maximum,
            std=moments.std if moments.count else 0.0,
        )
        return StoreCertificate(
            name=self._name,
            fingerprints={store.name: store.fingerprint for store in self._stores.values()},
            headers={key: digest(store.header.to_json()) for key, store in self._stores.items()},
            num_equal=self._num_equal,
            num_failed=self._num_failed,
            num_frames=self._num_frames,
            differences=tuple(self._differences),
            deviation=deviation if moments.count else None,
            stored_numerics=self._numerics[0].all,
            numerics=self._numerics[1].all,
            stored_versions=self._versions[0],
            versions=self._versions[1],
            problems=self._log.problems(),
        )

    def _compare(
        self,
        utterance_id: str,
        split: str,
        stored: Sequence[StoredRow],
        computed: Sequence[StoredRow],
        sources: Sequence[StoredRow],
    ) -> None:
        theirs = self._numerics[0].add([*stored, *sources])
        ours = self._numerics[1].add(computed)
        measure = self._measure(stored, computed)
        if measure is None:
            self._log.add(
                "not comparable",
                f"{split}, utterance {utterance_id!r}",
                expected="as many frames, of finite values",
                got="others",
            )
            return
        self._num_frames += measure.num_frames
        self._max_abs = max(self._max_abs, measure.max_abs)
        self._sum_abs += measure.sum_abs
        self._moments += measure.moments
        if all(map(same_bits, stored, computed)):
            self._num_equal += 1
            return
        self._differences.append(
            Difference(
                id=utterance_id,
                split=split,
                same_class=all(give_equal_bits(one, other) for one in theirs for other in ours),
                num_frames=measure.num_frames,
                num_other_frames=measure.num_other_frames,
                max_abs=measure.max_abs,
                rounding=measure.rounding,
            )
        )

    def _beyond(self, one: Difference, expected: str, got: object) -> None:
        where = f"{one.split}, utterance {one.id!r}"
        self._log.add("beyond tolerance", where, expected=expected, got=got)


class FeatureComparison(Comparison):
    """Compares the values of a feature, with a tolerance for each value."""

    def _measure(
        self, stored: Sequence[StoredRow], computed: Sequence[StoredRow]
    ) -> Measure | None:
        [theirs], [ours] = stored, computed
        return measure_features(theirs, ours)

    def _judge(self, differences: Sequence[Difference]) -> None:
        for one in differences:
            allowed = self._tolerances.difference * self._moments.std + one.rounding
            if one.max_abs > allowed:
                self._beyond(one, f"values within {allowed:.3g} of those computed now", one)


class TokenComparison(Comparison):
    """Compares units or codes frame by frame, with a tolerance for the share of those that flip."""

    def _measure(
        self, stored: Sequence[StoredRow], computed: Sequence[StoredRow]
    ) -> Measure | None:
        return measure_tokens(stored, computed)

    def _judge(self, differences: Sequence[Difference]) -> None:
        rate = sum(one.num_other_frames for one in differences) / max(1, self._num_frames)
        if rate > self._tolerances.flips:
            for one in differences:
                expected = f"at most {percent(self._tolerances.flips, 3)} of all frames to flip"
                self._beyond(one, expected, f"{percent(rate, 3)}; of these, {one}")


class _Classes:
    """The numerics classes that were met, each once, in an order that is always the same."""

    def __init__(self) -> None:
        self._by_text: dict[str, Numerics] = {}

    def add(self, places: Iterable[StoredRow]) -> Collection[Numerics]:
        """Note the classes of some rows and return them."""
        found = {canonical_json(place.numerics): place.numerics for place in places}
        self._by_text |= found
        return found.values()

    @property
    def all(self) -> tuple[Numerics, ...]:
        """All that were met."""
        return tuple(numerics for _, numerics in sorted(self._by_text.items()))


def _versions(stores: Stores) -> Mapping[str, str]:
    found: Mapping[str, str] = next(iter(stores.values())).provenance.get("versions", {})
    return found


def _told(failure: Failure) -> str:
    found = f", expected {failure.expected}, got {failure.got}" if failure.got else ""
    return f"a failure ({failure.error}{found})"
