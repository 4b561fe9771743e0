"""How much is measured: all of it, or so little that a run takes a minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of a run.

    Args:
        num_dense: utterances of the dense corpus.
        num_tokens: utterances of the token corpus.
        rounds: of reads.
        turn_s: seconds of one contender's turn in a round.
        write_rounds: of writes, which take long.
        first_bytes: of the first store of a fresh process.
        first_rounds: of such processes.
        bounded_bytes: of the store that is written in bounded memory.
        sizes: of the stores of the large corpus, in utterances.
        large_rounds: of fresh processes at each size.
        grown_rows: utterances of the corpus that grows.
        additions: of one utterance to it.
        loader_batches: of dense features in a turn of the loader; twenty times as many of tokens.
        loader_rounds: of such turns.
        speech_hours: of audio that filterbanks are extracted from.
        short_hours: of it for the slowest peers.
        extraction_rounds: of fresh processes.
        encoder_minutes: of audio for an encoder.
        encoder_rounds: of fresh processes.
        manifest_rows: that are cut into shards in bounded memory.
        kmeans_frames: that codebooks are fitted on.
        kmeans_clusters: of each codebook.
        kmeans_rounds: of fits.
        segment_minutes: of each file that segments are read of.
        num_segments: of each file.
        segment_rounds: of such readings.
        host_hours: of audio that the host takes to the disk.
        host_rounds: of that.
        stub_hours: of audio beside a stub of a device.
        stub_rounds: of that.
        window_hours: of audio that batches are formed of, on paper.
        cut_hours: of audio that is cut into tasks, on paper.
        remote_bytes: of a store that lies elsewhere.
        remote_batches: of it.
        remote_rounds: of reading it in order.
        cut_rate: of a stub, in x real time, that two workers share the demo corpus out to.
    """

    num_dense: int
    num_tokens: int
    rounds: int
    turn_s: float
    write_rounds: int
    first_bytes: int
    first_rounds: int
    bounded_bytes: int
    sizes: tuple[int, ...]
    large_rounds: int
    grown_rows: int
    additions: int
    loader_batches: int
    loader_rounds: int
    speech_hours: float
    short_hours: float
    extraction_rounds: int
    encoder_minutes: float
    encoder_rounds: int
    manifest_rows: int
    kmeans_frames: int
    kmeans_clusters: int
    kmeans_rounds: int
    segment_minutes: float
    num_segments: int
    segment_rounds: int
    host_hours: float
    host_rounds: int
    stub_hours: float
    stub_rounds: int
    window_hours: float
    cut_hours: float
    remote_bytes: int
    remote_batches: int
    remote_rounds: int
    cut_rate: float


SCALES = {
    "full": Scale(
        num_dense=800,
        num_tokens=100_000,
        rounds=21,
        turn_s=0.2,
        write_rounds=5,
        first_bytes=2_500_000_000,
        first_rounds=5,
        bounded_bytes=10_000_000_000,
        sizes=(10**4, 10**5, 10**6, 10**7),
        large_rounds=5,
        grown_rows=100_000,
        additions=100,
        loader_batches=80,
        loader_rounds=5,
        speech_hours=8,
        short_hours=1,
        extraction_rounds=3,
        encoder_minutes=10,
        encoder_rounds=3,
        manifest_rows=1_000_000,
        kmeans_frames=200_000,
        kmeans_clusters=500,
        kmeans_rounds=3,
        segment_minutes=30,
        num_segments=200,
        segment_rounds=5,
        host_hours=1,
        host_rounds=5,
        stub_hours=5,
        stub_rounds=3,
        window_hours=50,
        cut_hours=1000,
        remote_bytes=1_000_000_000,
        remote_batches=20,
        remote_rounds=5,
        cut_rate=8,
    ),
    "small": Scale(
        num_dense=40,
        num_tokens=2_000,
        rounds=3,
        turn_s=0.05,
        write_rounds=2,
        first_bytes=60_000_000,
        first_rounds=1,
        bounded_bytes=300_000_000,
        sizes=(10**4, 10**5),
        large_rounds=1,
        grown_rows=10_000,
        additions=20,
        loader_batches=20,
        loader_rounds=1,
        speech_hours=0.1,
        short_hours=0.02,
        extraction_rounds=1,
        encoder_minutes=0.1,
        encoder_rounds=1,
        manifest_rows=10_000,
        kmeans_frames=5_000,
        kmeans_clusters=20,
        kmeans_rounds=1,
        segment_minutes=1,
        num_segments=20,
        segment_rounds=1,
        host_hours=0.02,
        host_rounds=1,
        stub_hours=0.02,
        stub_rounds=1,
        window_hours=50,
        cut_hours=10,
        remote_bytes=30_000_000,
        remote_batches=3,
        remote_rounds=1,
        cut_rate=100,
    ),
}
