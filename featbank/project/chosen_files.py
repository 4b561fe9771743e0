"""Files of a project as its corpus and its features have them: the source's, with these chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from featbank import __version__
from featbank.base.folder_names import check_name
from featbank.base.nearest import did_you_mean
from featbank.errors import ConfigError
from featbank.files.remote.paths import SCHEMES
from featbank.project.extras import extras_of

TOKENIZER = "kmeans100"
"""Makes the tokens of a new project: 100 units are found in minutes of audio."""

PROJECT_NAME = ".featbank.json"
"""File that says what was laid down; a project has it at its root, and commits it."""

# what the command line of a stage reads as no text, beside numbers
_NO_TEXTS = ("null", "true", "false")

_VECTORS = "featbank.features.Pooled"
_FLOATS = ("float", "bfloat")

# of a split_rule
_BY_UTTERANCE = (b"\n  by: speaker ", b"\n  by: hash    ")

_README = """\
# Speech features and tokens of {corpus}

Made by featbank {version}. The audio is at `corpora/{corpus}`, a folder or a link to one, which git
does not hold.

    pip install -r requirements.txt   # once, in an environment of your own
    featbank check                    # all that is wrong, before anything is computed
    dvc repro                         # what is missing or changed; goes on where it was stopped
    featbank summary                  # what there is; the report is reports/{corpus}/report.html
    git add . && git commit           # code, dvc.lock and the pinned ids belong to the stores

`params.yaml` says what is computed, `conf/` what each name means, one file an option.
"""

_REQUIREMENTS = """\
# what this project is computed with; `featbank init . --upgrade` brings it to another version
featbank[{extras}]=={version}
"""

_PINS = """\
# not drawn yet: the first `sample` stage draws 10 h of {corpus}, or all; commit the list then
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectChoices:
    """What a project is laid down for.

    Args:
        layout: of conf/corpus, that the corpus has.
        corpus: its name; where that is not the layout's, the project has a definition of its own.
        url: where the audio is, if not below corpora/ of the project.
        is_flat: whether files lie in no folders that could name speakers, in the layout `folder`.
        features: of conf/feature.
    """

    layout: str
    corpus: str
    url: str | None = None
    is_flat: bool = False
    features: tuple[str, ...]


def chosen_files(source: Mapping[str, bytes], choices: ProjectChoices) -> Mapping[str, bytes]:
    """Return the content of each file that is laid down, by its path in the project.

    Raises:
        ConfigError: there is no such layout or feature, or a name is none.
    """
    files = dict(source)
    _check_option(source, "corpus", choices.layout)
    for feature in choices.features:
        _check_option(source, "feature", feature)
    corpus = check_name(choices.corpus, "--name")
    if _is_number(corpus) or corpus.lower() in _NO_TEXTS:
        hint = "put a letter in front, or a word behind"
        raise ConfigError("--name", expected="a text on a command line, too", got=corpus, hint=hint)
    told = {"corpus": corpus, "version": __version__}
    definition = f"conf/corpus/{corpus}.yaml"
    if corpus != choices.layout and definition in source:
        hint = f"type --corpus {corpus} for that layout, or take another name"
        raise ConfigError("--name", expected="a name of its own", got=corpus, hint=hint)
    said = _as_text(corpus)
    values = {"name": said, "root": _as_text(choices.url or f"corpora/{corpus}")}
    values |= {"folders": "[]"} if choices.is_flat else {}
    files[definition] = _with_values(source[f"conf/corpus/{choices.layout}.yaml"], values)
    if choices.is_flat:
        files[definition] = files[definition].replace(*_BY_UTTERANCE)
    tokenized = [feature for feature in choices.features if is_tokenized(source, feature)]
    files["params.yaml"] = _with_values(
        source["params.yaml"],
        {
            "corpora": f"[{said}]",
            "features": f"[{', '.join(choices.features)}]",
            **_tokens(said, tokenized),
        },
    )
    if tokenized:
        files[f"conf/sample/{corpus}/{corpus}.txt"] = _PINS.format(**told).encode()
    files["README.md"] = _README.format(**told).encode()
    extras = ",".join(needed_extras(source, choices))
    files["requirements.txt"] = _REQUIREMENTS.format(extras=extras, **told).encode()
    return files


def needed_extras(source: Mapping[str, bytes], choices: ProjectChoices) -> Sequence[str]:
    """Return the extras of featbank that a project needs, the report's first."""
    names = [f"corpus/{choices.layout}", *(f"feature/{one}" for one in choices.features)]
    extras = extras_of(source[f"conf/{name}.yaml"] for name in names)
    scheme = (choices.url or "").partition("://")[0].lower()
    return [*extras, SCHEMES[scheme][1]] if scheme in SCHEMES else extras


def is_tokenized(source: Mapping[str, bytes], feature: str) -> bool:
    """Tell whether units can be found of a feature: not of codes, nor of vectors without time."""
    said = yaml.safe_load(source[f"conf/feature/{feature}.yaml"])
    is_vector = said["extractor"]["_target_"] == _VECTORS
    return not is_vector and str(said["storage"][0]["dtype"]).startswith(_FLOATS)


def _tokens(corpus: str, features: Sequence[str]) -> Mapping[str, str]:
    """Return samples, codebooks and tokens of params.yaml, as they are written there."""
    samples, codebooks, tokens = [], [], []
    key = corpus.strip('"')
    for one in features:
        of_feature = f"feature: {one}, stored: {one}"
        fitted = f"fit_on: {corpus}, {of_feature}, codebook: {TOKENIZER}"
        samples.append(f"\n  {key}-{one}: {{fit_on: {corpus}, corpus: {corpus}, {of_feature}}}")
        codebooks.append(f"\n  {key}-{one}-{TOKENIZER}: {{{fitted}}}")
        tokens.append(
            f"\n  - {{{of_feature}, tokenizer: {TOKENIZER}, codebook: {TOKENIZER}, "
            f"fit_on: {corpus}}}"
        )
    return {
        "samples": "".join(samples) or "{}",
        "codebooks": "".join(codebooks) or "{}",
        "tokens": "".join(tokens) or "[]",
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _as_text(value: str) -> str:
    """Return a text as YAML reads it back: no and 12:30 are texts only in quotes."""
    return value if yaml.safe_load(value) == value else json.dumps(value)


def _with_values(document: bytes, values: Mapping[str, str]) -> bytes:
    """Give keys of a YAML document other values; its comments stand."""
    text = document.decode()
    for key, value in values.items():
        found = re.compile(rf"^{key}:[^#\n]*?([ ]*#[^\n]*)?\n(?:[ ][^\n]*\n)*", re.MULTILINE)
        [there] = found.finditer(text)
        begin = f"{key}:" if value.startswith("\n") else f"{key}: "
        comment = there[1] or ""
        text = f"{text[: there.start()]}{begin}{value}{comment}\n{text[there.end() :]}"
    return text.encode()


def _check_option(source: Mapping[str, bytes], group: str, name: str) -> None:
    known = _options(source, group)
    if name not in known:
        near = did_you_mean(name, known, before=f"--{group} ")
        if "," in name:
            near = f"repeat it: --{group} " + f" --{group} ".join(name.replace(",", " ").split())
        expected = f"a name of conf/{group}" if near else f"one of {', '.join(sorted(known))}"
        raise ConfigError(f"--{group}", expected=expected, got=name, hint=near)


def _options(source: Mapping[str, bytes], group: str) -> Collection[str]:
    folder = PurePosixPath("conf", group)
    return {path.stem for path in map(PurePosixPath, source) if path.parent == folder}
