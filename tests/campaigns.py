"""Many flips and kills against real stores: what each led to, counted.

    python -m tests.campaigns flips --count 600
    python -m tests.campaigns kills --count 60

A flip turns one bit of one file over, then something reads that file: it must give what it gave
before, or refuse by name. A kill ends a step with SIGKILL at a random moment, and the step is run
again: at the end its bytes must be those of a run never killed. Exit status 1 tells that something
was silent, or ended in a traceback, a crash or a hang.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.engine.tokenize_audio import FeatureTokens, tokenize_audio
from featbank.errors import FailureBudgetError, FeatbankError
from featbank.numerics import thread_count
from featbank.store import open_store
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.fit import fit_codebook
from featbank.tokenizers.kmeans import KMeans
from featbank.tokenizers.sample import write_pins, write_sample
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenize import tokenize
from tests.conftest import ROOT
from tests.extracting import demo_run, files, run_extraction

HANG_S = 600
FINE = ("right", "refused by name", "seen by verify alone")
STORAGES: Mapping[str, Sequence[dict[str, object]]] = {
    "plain": [{"name": "fbank", "shard_bytes": 30_000}],
    "scaled": [{"name": "fbank", "dtype": "int8_scaled", "shard_bytes": 10_000}],
    "packed": [
        {"name": "fbank", "shard_bytes": 30_000, "compression": "zstd"},
    ],
}  # fmt: skip


def make_corpus(folder: Path) -> None:
    """Copy the demo corpus below `folder`."""
    shutil.copytree(ROOT / "corpora" / "demo", folder / "corpus")


def do_prepare(folder: Path) -> None:
    corpus = TableCorpus(
        name="demo", root=folder / "corpus", license="free", table="transcripts.tsv"
    )
    prepare(corpus, folder / "manifests", failures_path=folder / "prepare.jsonl")


def do_extract(folder: Path, storage: str = "plain") -> None:
    run_extraction(
        folder / "corpus", folder / storage, num_workers=None, storage=list(STORAGES[storage])
    )


def do_sample(folder: Path) -> None:
    write_sample(
        features=[folder / "plain" / "fbank" / "train"],
        pins=folder / "pins.txt",
        out=folder / "sample",
    )


def do_fit(folder: Path) -> None:
    task = CodebookTask(sample=folder / "sample", out=folder / "codebook.safetensors", seed=0)
    fit_codebook(task, KMeans(num_clusters=8, num_frames=3000), folder / "fit")


def do_tokenize(folder: Path) -> None:
    tokenize(
        manifests=folder / "manifests",
        features=folder / "plain" / "fbank",
        stores=_token_stores(folder),
        out=folder / "tokens",
    )


def do_tokenize_audio(folder: Path) -> None:
    """Make the tokens straight from audio, which are those of the way over features."""
    with thread_count(1):
        tokenize_audio(
            demo_run(folder / "corpus", storage=STORAGES["plain"]),
            folder / "tokens",
            FeatureTokens(feature="fbank", stores=_token_stores(folder)),
        )


def _token_stores(folder: Path) -> TokenStores:
    return TokenStores(codebook=load_codebook(folder / "codebook.safetensors"))


def do_everything(folder: Path) -> None:
    """Make each output once, and leave finished shards of a run that was stopped."""
    make_corpus(folder)
    do_prepare(folder)
    for storage in STORAGES:
        do_extract(folder, storage)
    ids = list(open_store(folder / "plain" / "fbank" / "train").ids)
    write_pins(folder / "pins.txt", ids[::2], how="every second one")
    do_sample(folder)
    do_fit(folder)
    do_tokenize(folder)
    values = {
        f"{storage}/{utterance_id}": array
        for storage in STORAGES
        for utterance_id, array in read_all(folder / storage / "fbank").items()
    }
    np.savez(folder / "values.npz", **values)  # type: ignore[arg-type]


def read_all(store: Path) -> dict[str, np.ndarray]:
    opened = open_store(store)
    return {utterance_id: np.array(opened[utterance_id]) for utterance_id in opened.ids}


def stop_midway(step: Callable[[Path], None], output: str) -> Callable[[Path], None]:
    """Leave finished shards of a run in the work folder, and no store."""

    def act(folder: Path) -> None:
        shutil.rmtree(folder / output)
        lost = sorted((folder / "corpus").rglob("*.flac"))[-1]
        lost.rename(folder / "away")
        try:
            step(folder)
            raise AssertionError("nothing failed")
        except FailureBudgetError:
            (folder / "away").rename(lost)

    return act


def move(old: str, new: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / old).rename(folder / new)

    return act


def extract_from_earlier(folder: Path) -> None:
    """Extract where DVC has deleted the store, and gives what its cache has of it."""
    run_extraction(
        folder / "corpus", folder / "scaled", num_workers=None, storage=list(STORAGES["scaled"]),
        previous=[folder / "earlier"],
    )  # fmt: skip


class SeenByVerifyAloneError(Exception):
    """Values that are mapped were other ones, as the documents say: `verify` names them."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a flip hits, and what is done then.

    Args:
        hit: a pattern of the files, below the folder.
        act: reads them; returns whether the outcome is what it is without the flip.
    """

    hit: str
    act: Callable[[Path, Path], bool]
    before: Callable[[Path], None] = lambda _: None


def reading(storage: str) -> Callable[[Path, Path], bool]:
    """Read every id that a sound store has: each gives its values, or refuses."""

    def act(folder: Path, clean: Path) -> bool:
        expected = np.load(clean / "values.npz")
        names = [name for name in expected.files if name.startswith(f"{storage}/")]
        store = open_store(folder / storage / "fbank")
        refusal: FeatbankError | None = None
        for name in names:
            try:
                if not np.array_equal(store[name.partition("/")[2]], expected[name]):
                    if store.verify():
                        raise SeenByVerifyAloneError
                    return False
            except FeatbankError as error:
                refusal = error
        if sorted(f"{storage}/{one}" for one in store.ids) != sorted(names):
            return False
        if refusal:
            raise refusal
        return True

    return act


def verifying(storage: str) -> Callable[[Path, Path], bool]:
    def act(folder: Path, _: Path) -> bool:
        if damage := open_store(folder / storage / "fbank").verify():
            raise FeatbankError(str(damage[0]))
        return files(folder / storage) == files(_ / storage)

    return act


def making(step: Callable[[Path], None], output: str) -> Callable[[Path, Path], bool]:
    """Do a step again: the output is what it is without the flip."""

    def act(folder: Path, clean: Path) -> bool:
        step(folder)
        made, wanted = folder / output, clean / output
        if wanted.is_dir():
            return files(made) == files(wanted)
        return made.read_bytes() == wanted.read_bytes()

    return act


def drop(*outputs: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in outputs:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return act


TARGETS: Mapping[str, Target] = {
    "read plain": Target(hit="plain/fbank/*/*.h5", act=reading("plain")),
    "read scaled": Target(hit="scaled/fbank/*/*.h5", act=reading("scaled")),
    "read compressed": Target(hit="packed/fbank/*/*.h5", act=reading("packed")),
    "read, no shard hit": Target(hit="plain/**/*.json*", act=reading("plain")),
    "verify plain": Target(hit="plain/**/*", act=verifying("plain")),
    "verify scaled": Target(hit="scaled/**/*", act=verifying("scaled")),
    "verify compressed": Target(hit="packed/**/*", act=verifying("packed")),
    "extract over a store": Target(hit="plain/fbank/**/*", act=making(do_extract, "plain")),
    "extract over a scaled store": Target(
        hit="scaled/fbank/**/*", act=making(lambda folder: do_extract(folder, "scaled"), "scaled")
    ),
    "extract from work": Target(
        before=stop_midway(do_extract, "plain"),
        hit="work/**/*",
        act=making(do_extract, "plain"),
    ),
    "extract from DVC's cache": Target(
        before=move("scaled", "earlier"),
        hit="earlier/**/*",
        act=making(extract_from_earlier, "scaled"),
    ),
    "sample": Target(
        before=drop("sample"), hit="plain/fbank/train/*", act=making(do_sample, "sample")
    ),
    "fit": Target(
        before=drop("codebook.safetensors", "fit"),
        hit="sample/**/*",
        act=making(do_fit, "codebook.safetensors"),
    ),
    "tokenize": Target(
        before=drop("tokens"), hit="plain/fbank/*/*", act=making(do_tokenize, "tokens")
    ),
    "tokenize, codebook hit": Target(
        before=drop("tokens"), hit="codebook.safetensors", act=making(do_tokenize, "tokens")
    ),
    "tokenize over tokens": Target(hit="tokens/**/*", act=making(do_tokenize, "tokens")),
    "tokenize audio over tokens": Target(
        hit="tokens/**/*", act=making(do_tokenize_audio, "tokens")
    ),
    "tokenize audio from work": Target(
        before=stop_midway(do_tokenize_audio, "tokens"),
        hit="work/**/*",
        act=making(do_tokenize_audio, "tokens"),
    ),
    "prepare, memory hit": Target(
        before=drop("manifests"), hit="prepare.scans/**/*", act=making(do_prepare, "manifests")
    ),
}


def flip(path: Path, generator: random.Random) -> str:
    data = bytearray(path.read_bytes())
    bit = generator.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.unlink()  # it may have a second name elsewhere
    path.write_bytes(data)
    return f"bit {bit % 8} of byte {bit // 8} of {path.name}"


def run_flip(target: Target, folder: Path, clean: Path, seed: int) -> tuple[str, str]:
    """Return the outcome, and what was hit."""
    generator = random.Random(seed)
    target.before(folder)
    hit = [path for path in sorted(folder.glob(target.hit)) if path.is_file()]
    hit = [path for path in hit if path.stat().st_size]
    if not hit:
        return "nothing to hit", ""
    what = flip(generator.choice(hit), generator)
    try:
        return ("right" if target.act(folder, clean) else "SILENT"), what
    except SeenByVerifyAloneError:
        return "seen by verify alone", what
    except FeatbankError as error:
        said = str(error)
        return ("refused by name" if "\n" not in said else "SEVERAL LINES"), f"{what}: {said}"
    except Exception:  # noqa: BLE001 - it is what is looked for
        return "TRACEBACK", f"{what}\n{traceback.format_exc()}"


def in_child(function: Callable[[], object], log: Path) -> int:
    """Start a function in a forked process with its own group; its output goes to `log`."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        printed = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        function()
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def end_of(child: int, limit_s: float = HANG_S) -> int | None:
    """Wait for a child; return how it ended, None where it hung."""
    deadline = time.monotonic() + limit_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)


def flips(scratch: Path, count: int, seed: int, only: str) -> Counter[tuple[str, str]]:
    """Flip `count` bits, one after the other in a fresh copy; return outcomes by target."""
    clean = scratch / "clean"
    clean.mkdir()
    made = end_of(in_child(lambda: do_everything(clean), scratch / "log"))
    assert made == 0, (scratch / "log").read_text()
    names = [name for name in TARGETS if only in name]
    outcomes: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        name = names[number % len(names)]
        folder, said = scratch / "flipped", scratch / "outcome"
        shutil.copytree(clean, folder)

        def act(name: str = name, number: int = number) -> None:
            outcome, what = run_flip(TARGETS[name], folder, clean, seed + number)  # noqa: B023
            said.write_text(f"{outcome}\n{what}")  # noqa: B023

        ended = end_of(in_child(act, scratch / "log"))
        if ended == 0:
            outcome, _, what = said.read_text().partition("\n")
        else:
            outcome, what = ("HANG" if ended is None else f"CRASH {ended}"), ""
        outcomes[name, outcome] += 1
        if outcome not in FINE and outcome != "nothing to hit":
            print(f"{name}, seed {seed + number}: {outcome}: {what}", flush=True)
        shutil.rmtree(folder)
    return outcomes


STEPS: Mapping[str, tuple[Callable[[Path], None], Sequence[str]]] = {
    "prepare": (do_prepare, ["manifests"]),
    "extract": (do_extract, ["plain"]),
    "sample": (do_sample, ["sample"]),
    "fit": (do_fit, ["codebook.safetensors"]),
    "tokenize": (do_tokenize, ["tokens"]),
}


def kills(scratch: Path, count: int, seed: int, only: str) -> Counter[tuple[str, str]]:
    """Kill `count` times, each step in turn; return outcomes by step."""
    clean, log = scratch / "clean", scratch / "log"
    clean.mkdir()
    assert end_of(in_child(lambda: do_everything(clean), log)) == 0, log.read_text()
    generator = random.Random(seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    steps = [name for name in STEPS if only in name]
    for name in steps:
        step, outputs = STEPS[name]
        folder = scratch / "killed"
        shutil.copytree(clean, folder)
        for left in (*outputs, "work", "fit"):
            drop(left)(folder)
        began = time.monotonic()
        assert end_of(in_child(lambda: step(folder), log)) == 0, log.read_text()  # noqa: B023
        whole_s = time.monotonic() - began
        killed = 0
        while killed < count // len(steps):
            if generator.random() < 0.3:
                drop(*outputs)(folder)
            child = in_child(lambda: step(folder), log)  # noqa: B023
            time.sleep(generator.uniform(0, whole_s))
            os.killpg(child, signal.SIGKILL) if not _ended(child) else None
            status = end_of(child)
            if status == 0:
                drop(*outputs)(folder)
                continue
            killed += 1
            outcome = "killed" if status == -signal.SIGKILL else f"ENDED {status}"
            outcomes[name, outcome] += 1
        status = end_of(in_child(lambda: step(folder), log))  # noqa: B023
        same = status == 0 and all(making(lambda _: None, out)(folder, clean) for out in outputs)
        outcomes[name, "right" if same else "WRONG"] += 1
        if not same:
            print(f"{name}: {log.read_text()[-2000:]}")
        shutil.rmtree(folder)
    return outcomes


def _ended(child: int) -> bool:
    """Tell whether a child has ended; it may still be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns")
    parser.add_argument("kind", choices=["flips", "kills"])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="targets or steps whose name holds this")
    options = parser.parse_args()
    campaign = {"flips": flips, "kills": kills}[options.kind]
    with tempfile.TemporaryDirectory(prefix="featbank-campaign-") as scratch:
        outcomes = campaign(Path(scratch), options.count, options.seed, options.only)
    for (name, outcome), number in sorted(outcomes.items()):
        print(f"{name:32} {outcome:20} {number:5}")
    totals: Counter[str] = Counter()
    for (_, outcome), number in outcomes.items():
        totals[outcome] += number
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(totals.items())))
    return any(outcome.isupper() or outcome.split()[0].isupper() for outcome in totals)


if __name__ == "__main__":
    sys.exit(main())
