"""What the command for a GPU measures by: checks that can fail, costs, shares of the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from benchmarks.bars import Bar, Report
from benchmarks.gpu.budget import Deadline
from benchmarks.gpu.correctness import NUM_ROWS, Checks, correctness
from benchmarks.gpu.models import MODELS, Model
from benchmarks.gpu.references import counting_lstms, equal_batches, reference
from benchmarks.padding import waste_of_window
from benchmarks.tables import lines
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.shapes import batch_shape
from featbank.numerics import Computing

pytestmark = pytest.mark.usefixtures("one_thread")

RATE = 16_000


def test_a_batch_in_which_rows_see_each_other_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of this encoder hears a little of all others."""
    [model] = [model for model in MODELS if model.option == "hubert"]
    compute = SslEncoder.compute_batch

    def leaking(
        self: SslEncoder, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        found = compute(self, waveforms, num_samples)
        return {name: values + 0.1 * values.mean(dim=0) for name, values in found.items()}

    found = _found(model)
    assert all(value <= bound for value, bound in found.values())
    monkeypatch.setattr(SslEncoder, "compute_batch", leaking)
    leaked = _found(model)
    assert leaked["utterances whose bits others in their shape change"][0] == NUM_ROWS
    assert leaked["padded in a batch against alone: greatest relative difference"][0] > 0.01


def test_a_model_whose_library_lacks_says_which() -> None:
    assert (
        Model(option="mimi", goal=1, needs=("json", "no_such_library")).lacks == "no_such_library"
    )


def test_an_lstm_costs_four_gates_of_two_products_a_layer() -> None:
    lstm = torch.nn.LSTM(3, 5, num_layers=2, batch_first=True)
    with counting_lstms(lstm) as found:
        lstm(torch.zeros(2, 7, 3))
    assert sum(found) == 2 * 7 * 2 * 4 * 5 * ((3 + 5) + (5 + 5))


def test_what_an_utterance_costs_grows_faster_than_its_length_where_it_attends() -> None:
    [model] = [model for model in MODELS if model.option == "hubert"]
    cost = reference(model.read(tiny=True), torch.device("cpu")).flops()
    assert cost(4) < cost(8) / 2 < cost(16) / 4


def test_equal_batches_hold_every_utterance_within_their_size() -> None:
    lengths = [5, 3, 9, 4, 8, 20]
    batches = list(equal_batches(lengths, lambda length: length, 16))
    assert [length for batch in batches for length in batch] == sorted(lengths)
    assert all(len(batch) * max(batch) <= 16 or len(batch) == 1 for batch in batches)


def test_a_deadline_is_shared_out_of_what_is_left() -> None:
    now = [100.0]
    whole = Deadline(60, clock=lambda: now[0])
    now[0] += 20
    part = whole.part(0.5)
    assert (part.left_s, whole.part(0.5, most_s=3).left_s) == (20, 3)
    now[0] += 21
    assert part.is_over
    assert not whole.is_over
    now[0] += 40
    assert whole.part(0.5).is_over


def test_waste_counts_padding_and_the_empty_rows_of_last_batches() -> None:
    second = batch_shape(RATE, 4 * RATE)
    lengths = [1.0] * (second.rows + 1)  # one more than a batch
    computed = 2 * second.rows * second.samples
    assert waste_of_window(lengths, RATE, 4) == pytest.approx(1 - len(lengths) * RATE / computed)


def _found(model: Model) -> dict[str, tuple[float, float]]:
    """Return what is found by each check, and its bound."""
    noise = torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0)) / 10
    waveforms = [noise[: RATE + 2_000 * number] for number in range(NUM_ROWS)]
    report: Any = correctness()
    Checks(model.read(tiny=True), waveforms, Computing(batch_s=4)).add_to(report)
    return {check: (value, bound) for _, check, value, bound in report.rows}


def test_a_report_becomes_a_table_for_a_readme() -> None:
    report = Report("Host", ["what", "rate"], [["ours", 1234.5]], [Bar("ours", 2000, 1234.5)])
    assert list(lines(report.to_json())) == [
        "Host:\n",
        "| what | rate |",
        "| --- | --- |",
        "| ours | 1,234 |",
        "\n| bar | bound | measured |",
        "| --- | --- | --- |",
        "| ours | 2,000 | 1,234, not met |",
    ]
