"""The card of a dataset: Markdown for people, behind a head that the Hugging Face hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from featbank.base.amounts import amount
from featbank.base.terms import NOT_SAID
from featbank.cards.identifiers import hub_license, language_code
from featbank.cards.subject import CardFeature, CardSplit, CardSubject
from featbank.files.provenance import readable_json

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")
_LARGER = "100M<n<1B"
_TITLES = {"license": "Licence", "consent": "Consent"}


def dataset_card(subject: CardSubject, *, made: str, head: Iterable[str] = ()) -> str:
    """Return the text of a card.

    Args:
        subject: that it tells of.
        made: a sentence or two about what the files are.
        head: more lines of its head, in YAML.
    """
    lines = [
        "---",
        *_head(subject),
        *head,
        "---",
        "",
        f"# {subject.name}",
        "",
        made,
        "",
        *_features(subject.features),
        *_splits(subject.splits),
        *_terms(subject),
        *_limits(subject),
        *_provenance(subject),
    ]
    return "\n".join(lines).rstrip() + "\n"


def size_category(num_utterances: int) -> str:
    """Return the hub's word for a number of rows.

    >>> size_category(38), size_category(1000), size_category(2_000_000)
    ('n<1K', '1K<n<10K', '1M<n<10M')
    """
    bounds = (1000 * 10**power for power in range(len(_SIZES)))
    return next(
        (word for word, bound in zip(_SIZES, bounds, strict=True) if num_utterances < bound),
        _LARGER,
    )


def _head(subject: CardSubject) -> Iterator[str]:
    # a JSON text is a YAML one
    yield f"pretty_name: {json.dumps(subject.name)}"
    if licenses := subject.licenses:
        names = [*dict.fromkeys(map(hub_license, licenses))]
        if all(names):
            yield f"license: {names[0] if len(names) == 1 else json.dumps(names)}"
        else:
            yield "license: other"
            yield f"license_name: {json.dumps('; '.join(licenses))}"
    if codes := [*dict.fromkeys(filter(None, map(language_code, subject.languages)))]:
        yield f"language: {json.dumps(codes)}"
    yield f"size_categories: [{json.dumps(size_category(subject.num_utterances))}]"
    if tasks := _tasks(subject):
        yield f"task_categories: {json.dumps(tasks)}"
    yield 'tags: ["speech", "featbank"]'


def _tasks(subject: CardSubject) -> list[str]:
    """Return what the hub calls that which can be learnt of the rows: texts are recognized."""
    if subject.features:
        return ["feature-extraction"]
    has_texts = any(split.rows is not None and split.rows.num_texts for split in subject.splits)
    return ["automatic-speech-recognition"] if has_texts else []


def _features(features: Sequence[CardFeature]) -> Iterator[str]:
    if not features:
        return
    yield "| column | shape | dtype | stored as | frames a second |"
    yield "| --- | --- | --- | --- | --- |"
    for feature in features:
        rate = feature.header.frame_rate
        yield (
            f"| {feature.name} | ({feature.shape}) | {feature.dtype} | {feature.header.dtype} "
            f"| {'' if rate is None else f'{rate:g}'} |"
        )
    yield ""


def _splits(splits: Sequence[CardSplit]) -> Iterator[str]:
    if all(split.rows is not None for split in splits):
        yield "| split | utterances | hours | speakers | with text | languages |"
        yield "| --- | --- | --- | --- | --- | --- |"
    else:
        yield "| split | utterances |"
        yield "| --- | --- |"
    for split in splits:
        cells = [split.name, f"{split.num_utterances:,}"]
        if (rows := split.rows) is not None:
            languages = ", ".join(name for name, _ in rows.languages.most_common() if name)
            cells += [amount(rows.hours, 2), f"{len(rows.speakers):,}", f"{rows.num_texts:,}"]
            cells.append(languages)
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""


def _terms(subject: CardSubject) -> Iterator[str]:
    terms = subject.terms
    for term, title in _TITLES.items():
        named = subject.licenses if term == "license" else subject.consents
        if term == "consent" and not named:
            continue
        yield f"## {title}"
        yield ""
        if term in terms:
            yield f"| {title.lower()} | utterances | hours |"
            yield "| --- | --- | --- |"
            for value, of in terms[term].items():
                hours = amount(of["hours"], 2)
                yield f"| {_cell(value or NOT_SAID)} | {of['utterances']:,} | {hours} |"
            others = [one for one in subject.licenses if one not in terms[term]]
            if term == "license" and others:
                yield ""
                yield f"Besides, of what the values were made with: {'; '.join(others)}."
        else:
            yield from named or ["Not stated by the stores."]
        yield ""


def _limits(subject: CardSubject) -> Iterator[str]:
    yield "## Limits"
    yield ""
    if not subject.consents:
        yield "- What the speakers consented to is not stated."
    if subject.features:
        yield "- Values of speech may tell who speaks: the terms of the audio are theirs, too."
    if number := subject.num_failures:
        yield f"- {number:,} utterances failed, and are not in it."
    if subject.left_out and (number := subject.left_out["rows"]):
        yield f"- {number:,} rows of the corpus did not have the terms required, and are left out."
    for feature in subject.features:
        if error := feature.header.max_abs_error:
            yield (
                f"- {feature.name} is stored as {feature.header.dtype}: its values are off by up "
                f"to {error:.3g}."
            )
    yield ""


def _provenance(subject: CardSubject) -> Iterator[str]:
    if not (subject.url or subject.features):
        return
    yield "## Provenance"
    yield ""
    if subject.url:
        yield f"The audio is published at {subject.url}"
        yield ""
    for feature in subject.features:
        yield f"### {feature.name}"
        yield ""
        yield f"Fingerprint `{feature.header.fingerprint}`."
        yield ""
        yield "```json"
        yield readable_json(feature.provenance).rstrip()
        yield "```"
        yield ""


def _cell(text: str) -> str:
    """Return a text as a cell of a table holds it."""
    return " ".join(text.split()).replace("|", "\\|")
