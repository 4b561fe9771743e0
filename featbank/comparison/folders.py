"""Find the stores and codebooks of a folder, or the stores at a URL, to be compared."""

from __future__ import annotations

from pathlib import Path

from featbank.comparison.comparing import Version
from featbank.comparison.one_side import ShardedStore
from featbank.errors import FeatbankError, StoreError
from featbank.store import HEADER_NAME, open_store
from featbank.store.remote.elsewhere import is_url, locate
from featbank.store.remote.headers import read_remote_headers

CODEBOOK_SUFFIX = ".safetensors"


def version_at(place: str) -> Version:
    """Return what stands in a folder, or at a URL: a store, or all below it.

    Args:
        place: a path of this machine, of any folder; a URL of a store or of splits of one.

    Raises:
        StoreError: nothing that can be compared.
        ConfigError: a URL of a kind that cannot be opened.
    """
    if is_url(place):
        found = read_remote_headers(locate(place))[0]
        return Version(name=place, stores={name: _opened(_below(place, name)) for name in found})
    folder = Path(place)
    if folder.is_file():
        return Version(name=place, stores={}, codebooks={"": folder})
    headers = [one.relative_to(folder).parent for one in folder.glob(f"**/{HEADER_NAME}")]
    files = [one.relative_to(folder) for one in folder.glob(f"**/*{CODEBOOK_SUFFIX}")]
    stores = {_name(path): _opened(str(folder / path)) for path in headers if _is_seen(path)}
    codebooks = {_name(path): folder / path for path in files if _is_seen(path)}
    if not stores and not codebooks:
        raise StoreError(
            f"folder {place}",
            expected=f"a store, or stores below it: folders with {HEADER_NAME}",
            got="none",
            hint="dvc pull fetches what was made; dvc repro makes it",
        )
    return Version(name=place, stores=stores, codebooks=codebooks)


def refuse_unlike(before: Version, after: Version) -> None:
    """Refuse to hold a store against a folder of stores: no path would be in both.

    Raises:
        StoreError: that is asked for.
    """
    kinds = ["" in {*one.stores, *one.codebooks} for one in (before, after)]
    if kinds[0] != kinds[1]:
        raise StoreError(
            f"{before.name} and {after.name}",
            expected="two stores, or two folders of stores",
            got="one of each",
        )


def _opened(place: str) -> ShardedStore | FeatbankError:
    try:
        return open_store(place)
    except StoreError as error:
        return error


def _below(url: str, name: str) -> str:
    return f"{url.rstrip('/')}/{name}" if name else url


def _name(path: Path) -> str:
    return "" if path == Path() else path.as_posix()


def _is_seen(path: Path) -> bool:
    """Tell whether no part of a path is hidden, as those of unfinished stores are."""
    return not any(part.startswith(".") for part in path.parts)
