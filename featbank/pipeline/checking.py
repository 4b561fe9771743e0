"""Check of params.yaml, conf/ and dvc.yaml: all faults at once, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, FeatbankError
from featbank.files.remote import is_remote
from featbank.pipeline.choices import any_choices, read_choices
from featbank.pipeline.chosen_options import choice_faults
from featbank.pipeline.code_table import STAGES
from featbank.pipeline.composition.composed import CONF, option_faults, stage_faults
from featbank.pipeline.composition.conf_files import read_option, read_yaml
from featbank.pipeline.configs import CONFIGS
from featbank.pipeline.definitions import options_of
from featbank.pipeline.described import Described
from featbank.pipeline.dvc_outputs import dvc_project

_READERS = {"corpus": "prepare", "feature": "extract", "tokenizer": "fit", "runner": "extract"}
"""A stage that reads all of an option, by the option's group of conf/."""

_PIPELINE = Path("dvc.yaml")


def all_faults() -> Sequence[FeatbankError]:
    """Return what is wrong with params.yaml, conf/ and dvc.yaml, each fault once."""
    found: list[FeatbankError] = [*choice_faults()]
    # DVC fills choices into dvc.yaml, and does not say which of them are of no form that it knows
    in_pipeline = [] if found else list(_pipeline_faults())
    with any_choices():
        found += [*_definition_faults(), *in_pipeline]
    return list({str(one): one for one in found}.values())


def _definition_faults() -> Iterator[ConfigError]:
    """Give what is wrong with the stages and the options of conf/, chosen or not."""
    some = {group: name for group in _READERS for name in _readable(group)}
    for stage in sorted({name.partition("_")[0] for name in STAGES}):
        yield from stage_faults(CONFIGS[stage], _of_stage(stage, some))
    for group, stage in _READERS.items():
        yield from option_faults(CONFIGS[stage], _of_stage(stage, some), group)


def _readable(group: str) -> Iterator[str]:
    """Give an option of a group with which others can be composed."""
    for name in options_of(group):
        with suppress(ConfigError):
            read_option(CONF, f"{group}/{name}")
            yield name
            return


def _of_stage(stage: str, options: Mapping[str, str]) -> Mapping[str, str]:
    """Return the options that a stage has a group for."""
    keys = Described.of(CONFIGS[stage]).keys
    return {group: option for group, option in options.items() if group in keys}


def _pipeline_faults() -> Iterator[FeatbankError]:
    """Give what DVC would find wrong with dvc.yaml, now or when it comes to a stage."""
    # imported here: it takes a second
    from dvc.exceptions import DvcException, NotDvcRepoError

    try:
        with dvc_project() as repo:
            stages, outs = repo.index.stages, [Path(out.fs_path) for out in repo.index.outs]
            for stage in stages:
                for dep in stage.deps:
                    yield from _dependency_faults(stage, dep, outs)
            for corpus in read_choices().corpora:
                yield from _root_faults(corpus)
    except NotDvcRepoError:
        return
    except DvcException as error:
        said = str(error).splitlines()[0]
        yield ConfigError(str(_PIPELINE), expected="a pipeline that DVC reads", got=said)
    except FeatbankError as error:
        yield error


def _root_faults(corpus: str) -> Iterator[ConfigError]:
    """Give a corpus whose audio lies elsewhere than where DVC looks for what has changed."""
    file, tracked = CONF / "corpus" / f"{corpus}.yaml", Path("corpora", corpus)
    root = read_yaml(file).get("root")
    if not isinstance(root, str) or is_remote(root):
        return  # DVC looks at what the person keeps in `tracked` to say what is in a bucket
    if Path(root).resolve() != tracked.resolve():
        yield ConfigError(
            f"root in {file}",
            expected=f"{tracked}, which {_PIPELINE} tracks",
            got=root,
            hint=f"{tracked} may be a symbolic link to where the audio is",
        )


def _dependency_faults(stage: Any, dep: Any, outs: Sequence[Path]) -> Iterator[ConfigError]:
    from dvc.dependency.param import ParamsDependency

    where, path = f"{_PIPELINE}: {stage.name}", Path(dep.fs_path)
    if not isinstance(dep, ParamsDependency):
        made = any(out == path or out in path.parents or path in out.parents for out in outs)
        if not made and not path.exists():
            yield ConfigError(where, expected=f"{dep} to be there", got="nothing")
        return
    known = dep.read_params() if path.is_file() else {}
    for key in sorted(set(dep.params) - set(known)):
        # DVC runs no stage whose parameters are missing
        yield ConfigError(where, expected=f"{key} in {dep}, which it tracks", got="none")
