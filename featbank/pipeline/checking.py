"""Check of params.yaml, conf/ and dvc.yaml: all faults at once, before anything is computed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from featbank.errors import ConfigError, FeatbankError
from featbank.files.remote import is_remote
from featbank.pipeline.choices import any_choices, formed_choices, read_choices
from featbank.pipeline.chosen import PARAMS
from featbank.pipeline.chosen_options import choice_faults
from featbank.pipeline.code_table import STAGES
from featbank.pipeline.composition.composed import CONF, option_faults, options_in, stage_faults
from featbank.pipeline.composition.conf_files import read_option, read_yaml
from featbank.pipeline.configs import CONFIGS
from featbank.pipeline.described import Described
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.project.record import version_fault

_READERS = {"corpus": "prepare", "feature": "extract", "tokenizer": "fit", "runner": "extract"}
"""A stage that reads all of an option, by the option's group of conf/."""

_PIPELINE = Path("dvc.yaml")

_NO_PACKAGE = "No module named"  # in the words of Python
_NO_TORCH = f"{_NO_PACKAGE} 'torch'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCheck:
    """What a check of params.yaml, conf/ and dvc.yaml found.

    Args:
        faults: what is wrong, each once.
        unchecked: files of conf/ whose class needs torch where that is not installed: all of them
            but the arguments of that class is checked.
    """

    faults: Sequence[FeatbankError]
    unchecked: Sequence[str] = ()


def check_project(*, with_unchosen: bool = True) -> ProjectCheck:
    """Find what is wrong with params.yaml, conf/ and dvc.yaml.

    Args:
        with_unchosen: import the extractors of all features, chosen or not, to hold arguments
            against them: half a minute, where encoders of several packages are installed.
    """
    found: list[FeatbankError] = [*choice_faults()]
    if not PARAMS.exists() and not CONF.is_dir():
        return ProjectCheck(faults=found)
    # DVC fills choices into dvc.yaml, and does not say which of them are of no form that it knows
    in_pipeline = [] if found else list(_pipeline_faults())
    if fault := version_fault():
        found.append(fault)
    chosen = _chosen_options()
    files = {f"{CONF}/{group}/{one}.yaml" for group, names in chosen.items() for one in names}
    with any_choices():
        of_files = [*_definition_faults(chosen, None if with_unchosen else chosen["feature"])]
    unchecked = {file for one in of_files if one.got == _NO_TORCH for file in _files_in(one)}
    of_files = [one for one in of_files if one.got != _NO_TORCH]
    # nobody need install what all definitions name, to use some of them
    found += [one for one in of_files if not _is_absence(one) or files & _files_in(one)]
    found += in_pipeline
    once = {str(one): one for one in found}
    return ProjectCheck(faults=list(once.values()), unchecked=sorted(unchecked))


def _chosen_options() -> Mapping[str, Collection[str]]:
    """Return the options that params.yaml chooses, by group; none where it is of no known form."""
    with suppress(ConfigError):
        return defaultdict(tuple, formed_choices().options)
    return defaultdict(tuple)


def _is_absence(fault: ConfigError) -> bool:
    """Tell whether a fault is that a package is not installed."""
    return (fault.got or "").startswith(_NO_PACKAGE)


def _files_in(fault: ConfigError) -> set[str]:
    return set(re.findall(rf"{CONF}/\S+?\.yaml", fault.what))


def _definition_faults(
    chosen: Mapping[str, Collection[str]], built: Collection[str] | None
) -> Iterator[ConfigError]:
    """Give what is wrong with the stages and the options of conf/, chosen or not.

    Args:
        chosen: options by group.
        built: features whose extractors are imported; None for all.
    """
    some = {group: name for group in _READERS for name in _readable(group, chosen[group])}
    for stage in sorted({name.partition("_")[0] for name in STAGES}):
        yield from stage_faults(CONFIGS[stage], _of_stage(stage, some))
    for group, stage in _READERS.items():
        of_group = built if group == "feature" else None
        options = _of_stage(stage, some)
        yield from option_faults(CONFIGS[stage], options, group, built=of_group)


def _readable(group: str, chosen: Collection[str]) -> Iterator[str]:
    """Give an option of a group with which others can be composed, of those that are chosen."""
    for name in (*sorted(chosen), *options_in(group)):
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


def _missing_hint(dep: PurePath, path: Path) -> str:
    """Return what to type where a file or a folder is lacking that no stage makes."""
    match dep.parts:
        case ("corpora", _) if path.is_symlink():
            return f"the link leads to {path.readlink()}: type ln -sfn FOLDER {dep}"
        case ("corpora", _):
            return f"put the audio there, or a link to it: ln -s FOLDER {dep}"
        case ("conf", "sample", fit_on, corpus):
            return (
                f"dvc repro prepare, then python stages/sample.py pin=true fit_on={fit_on} "
                f"corpus={PurePath(corpus).stem}, and commit it"
            )
        case ("conf", "sample", _):
            return "it holds a list of ids for each corpus: see samples in params.yaml"
    return ""


def _dependency_faults(stage: Any, dep: Any, outs: Sequence[Path]) -> Iterator[ConfigError]:
    from dvc.dependency.param import ParamsDependency

    where, path = f"{_PIPELINE}: {stage.name}", Path(dep.fs_path)
    if not isinstance(dep, ParamsDependency):
        made = any(out == path or out in path.parents or path in out.parents for out in outs)
        if not made and not path.exists():
            hint = _missing_hint(PurePath(str(dep)), path)
            yield ConfigError(where, expected=f"{dep} to be there", got="nothing", hint=hint)
        return
    known = dep.read_params() if path.is_file() else {}
    for key in sorted(set(dep.params) - set(known)):
        # DVC runs no stage whose parameters are missing
        yield ConfigError(where, expected=f"{key} in {dep}, which it tracks", got="none")
