"""Digests of the code behind each stage, in files that the stages of dvc.yaml depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import featbank
from featbank.base.registry import Registry
from featbank.pipeline.code_definitions import made_of, outside_version, targets
from featbank.pipeline.code_modules import PACKAGE, Modules
from featbank.pipeline.code_table import REGISTRIES, STAGES

CONF = Path("conf")


def code_digests(conf: Path = CONF) -> Mapping[str, str]:
    """Return the digest of each stage, by its name: `fit`, or `extract/fbank` for each option.

    Args:
        conf: the definitions.

    Raises:
        ConfigError: a module or a definition cannot be read.
    """
    modules = Modules.read(Path(featbank.__file__).parent)
    return dict(_digests(modules, conf))


def write_code(out: Path, digests: Mapping[str, str]) -> None:
    """Write a file for each digest, and remove those of stages and options that are no more."""
    for name, text in digests.items():
        path = Path(out, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    for path in [path for path in out.rglob("*") if path.is_file()]:
        if path.relative_to(out).as_posix() not in digests:
            path.unlink()


def _digests(modules: Modules, conf: Path) -> Iterator[tuple[str, str]]:
    for stage, behind in STAGES.items():
        names = {function.partition(":")[0] for function in behind.functions}
        if behind.group is None:
            yield stage, modules.digest(names)
            continue
        for file in sorted((conf / behind.group).glob("*.yaml")):
            inside, outside = named_modules(modules, REGISTRIES[behind.group], targets(file))
            yield f"{stage}/{file.stem}", modules.digest(names | inside, outside | made_of(file))


def named_modules(
    modules: Modules, registry: Registry, named: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Return the modules of featbank that hold the classes named, and what else they come from.

    Args:
        modules: of featbank.
        registry: of the parts whose names may be used.
        named: each the `_target_` of a definition.
    """
    inside, outside = set(), set()
    for target in named:
        package = target.partition(".")[0]
        if package != PACKAGE:
            outside.add(outside_version(package))
            continue
        registered, module = registry.named(target), modules.module_of(target)
        if registered:
            inside.add(registered.place.partition(":")[0])
            outside.add(f"{registry.kind} {registered.name}")
        if module:
            inside.add(module)
        else:
            outside.add(f"{target}: no such module")
    return inside, outside
