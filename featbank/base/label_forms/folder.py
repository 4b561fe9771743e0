"""Labels in files of their own: which file is of which utterance."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from featbank.base.label_forms.forms import FORMS, LabelForm, LabelPlace, Reading
from featbank.base.labels import Intervals, intervals_of
from featbank.errors import CorpusError
from featbank.files.opening import NotAFileError, TooLargeError


class LabelFolder:
    """Finds the labels of an utterance in a folder of files, or in one file.

    The labels of an utterance are those of its id: of the path of a file below the folder, without
    its ending, or of what the file names. Where no id is the same, one may be the end of the other,
    so that `84-121123-0000` and `dev-clean/84/121123/84-121123-0000` are one utterance. Memory
    holds an id and a place for each.

    Args:
        path: of the folder, or of one file.
        form: a name of `FORMS`; None tells it by the names of the files.
        reading: what is read of them.
    """

    def __init__(self, path: Path, form: str | None, reading: Reading) -> None:
        self._path, self._name, self._reading = path, form, reading

    def names(self) -> Collection[str]:
        """Return the ids that the files name.

        Raises:
            CorpusError: the files are missing, of several forms, or malformed.
        """
        return self._places.keys()

    def find(self, utterance_id: str, channel: int | None = None) -> Intervals | None:
        """Return the labels of an id, or of a channel of it; None where there are none.

        Raises:
            CorpusError: the files are missing, of several forms, or malformed.
        """
        name = self.name_of(utterance_id)
        if name is None:
            return None
        place = self._places[name]
        try:
            rows = self._form.rows(place, replace(self._reading, channel=channel))
        except (FileNotFoundError, NotAFileError, TooLargeError) as error:
            raise _unreadable(place.path, error) from error
        return intervals_of(rows, f"{place.path}, labels of {utterance_id}")

    def name_of(self, utterance_id: str) -> str | None:
        """Return the one of `names` that is meant by an id; None where there is none.

        Raises:
            CorpusError: as `find`, or several could be meant.
        """
        if utterance_id in self._places:
            return utterance_id
        found = [
            one
            for one in self._by_last_part.get(utterance_id.rpartition("/")[2], ())
            if one.endswith(f"/{utterance_id}") or utterance_id.endswith(f"/{one}")
        ]
        if len(found) > 1:
            raise CorpusError(
                f"labels of {utterance_id} in {self._path}",
                expected="one that its id ends with, or that ends with its id",
                got=f"{found[0]} and {found[1]}",
                hint="name the folder in which paths are the ids: corpus.labels",
            )
        return found[0] if found else None

    @property
    def _form(self) -> LabelForm:
        return self._files[0]

    @cached_property
    def _files(self) -> tuple[LabelForm, list[Path]]:
        """The form of the labels, and their files."""
        if not self._path.exists():
            raise CorpusError(
                f"labels {self._path}",
                expected="a file or folder",
                got="nothing there",
                hint="corpus.labels is a path below corpus.root, or null",
            )
        files = [self._path] if self._path.is_file() else sorted(_walk(self._path))
        wanted = FORMS if self._name is None else {self._name: FORMS[self._name]}
        found: dict[str, list[Path]] = {}
        for path in files:
            for name, form in wanted.items():
                if path.name.lower().endswith(form.ending):
                    found.setdefault(name, []).append(path)
        tier = self._reading.tier
        fit = [name for name in found if wanted[name].tier in (None, tier)]
        if len(fit) != 1:
            tiers = {wanted[name].tier for name in found}
            hint = f"corpus.labels: {{path: ..., form: {' or '.join(fit)}}}" if fit else ""
            if tiers and not fit:
                hint = f"corpus.labels: {{path: ..., tier: {' or '.join(map(str, tiers))}}}"
            raise CorpusError(
                f"labels {self._path}",
                expected=f"{tier} in files of one form of {', '.join(wanted)}",
                got=f"files of {' and '.join(found) or 'none'}",
                hint=hint,
            )
        return wanted[fit[0]], found[fit[0]]

    @cached_property
    def _places(self) -> dict[str, LabelPlace]:
        """Where the labels of each id lie."""
        form, files = self._files
        root = self._path if self._path.is_dir() else self._path.parent
        places: dict[str, LabelPlace] = {}
        for path in files:
            folder = path.parent.relative_to(root).as_posix()
            prefix = f"{folder}/" if form.in_folders and folder != "." else ""
            try:
                for name, line, offset in _names(form, path):
                    one = prefix + name
                    if one in places:
                        raise CorpusError(
                            f"{path}:{line}",
                            expected="the labels of an id once, together",
                            got=f"{one!r} in {places[one].path}:{places[one].line} too",
                        )
                    places[one] = LabelPlace(path=path, line=line, offset=offset)
            except (FileNotFoundError, NotAFileError, TooLargeError) as error:
                raise _unreadable(path, error) from error
        return places

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self._places:
            found.setdefault(one.rpartition("/")[2], []).append(one)
        return found


def _names(form: LabelForm, path: Path) -> Iterator[tuple[str, int, int]]:
    if form.names is None:
        yield path.name[: -len(form.ending)], 1, 0
    else:
        yield from form.names(path)


def _walk(folder: Path) -> Iterator[Path]:
    """Give the files below a folder, but for hidden ones."""
    for at, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(at, name) for name in names if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    raise CorpusError(
        f"labels {error.filename}", expected="a readable folder", got=error.strerror
    ) from error


def _unreadable(path: Path, error: OSError) -> CorpusError:
    return CorpusError(f"labels {path}", expected="a readable file", got=error.strerror)
