"""Reading of the files of conf/ for Hydra: what each says is checked before it is used.

Hydra instantiates what the key `hydra` names, its callbacks, launchers and log handlers, before a
stage begins. A file says nothing of it but what `conf/runtime.yaml` says, and a definition in
`conf/GROUP/` sets its own group and nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from featbank.errors import ConfigError
from featbank.files.opening import read_regular

_MAX_BYTES = 256 << 10
_MAX_NODES = 10_000  # of a document, its aliases written out

_HYDRA: Mapping[str, Any] = {
    "run": {"dir": "."},
    "sweep": {"dir": ".featbank/multirun", "subdir": "."},
    "output_subdir": None,
}
"""What a file may say of Hydra itself: that it makes no folders but one for several runs."""

_LOGGING = ("hydra/job_logging", "hydra/hydra_logging")
_HANDLERS = frozenset(["logging.StreamHandler", "logging.NullHandler", "logging.Formatter"])
_STREAMS = frozenset(["ext://sys.stdout", "ext://sys.stderr"])


class CheckedFiles(FileConfigSource):
    """Hydra's source of files: each is read within limits and checked."""

    @classmethod
    def install(cls) -> None:
        """Make this Hydra's only source of files, from now on."""
        Plugins.instance()  # registers its own, which this one replaces
        SourcesRegistry.instance().types[cls.scheme()] = cls

    def load_config(self, config_path: str) -> ConfigResult:
        """Read the file of an option, such as `corpus/demo`.

        Raises:
            ConfigError: it is no YAML of a sane size, or says what it may not.
        """
        config, header = _option(Path(self.path), config_path)
        return ConfigResult(
            config=config, path=self.full_path(), provider=self.provider, header=header
        )


def read_option(conf: Path, option: str) -> DictConfig:
    """Read the file of an option, such as `corpus/demo`.

    Raises:
        ConfigError: it is no YAML of a sane size, or says what it may not.
    """
    found, _ = _option(conf, option)
    assert isinstance(found, DictConfig)
    return found


def read_yaml(file: Path) -> Any:
    """Read a YAML file as plain values, interpolations as they are written.

    Raises:
        ConfigError: it is none of a sane size, or nested or repeated without end.
    """
    return OmegaConf.to_container(parse_yaml(_text(file), file), resolve=False)


def resolve_by(name: str, resolver: Callable[[str], Any]) -> None:
    """Have a function resolve `${name:key}` in the files of conf/."""
    OmegaConf.register_new_resolver(name, resolver, replace=True)


def parse_yaml(text: str, file: object) -> Container:
    """Parse a YAML document.

    Raises:
        ConfigError: it is none, or nested or repeated without end.
    """
    try:
        if "*" in text:
            _refuse_repetition(yaml.compose(text, Loader=yaml.SafeLoader))
        return OmegaConf.load(io.StringIO(text))
    except yaml.YAMLError as error:
        raise ConfigError(str(file), expected="YAML", got=_told(error)) from error
    except RecursionError as error:
        raise ConfigError(str(file), expected="YAML", got="nesting without end") from error
    except (ValueError, OSError, OmegaConfBaseException) as error:
        # a number of 5,000 digits, a single value, or a type that no configuration has
        got = str(error).splitlines()[0]
        raise ConfigError(str(file), expected="values by name", got=got) from error


def check_file(option: PurePosixPath, package: str | None, config: Container, file: object) -> None:
    """Refuse a file of conf/ that says what none may say.

    Args:
        option: such as `extract`, or `corpus/demo`, whose group is `corpus`.
        package: of the file's header.
        config: as the file says it.
        file: for errors.

    Raises:
        ConfigError: it says that.
    """
    if not isinstance(config, DictConfig):
        raise ConfigError(str(file), expected="values by name", got="a list")
    said: Any = OmegaConf.to_container(config, resolve=False)
    group = option.parent.as_posix().removeprefix(".")
    steps = (package or "").split(".")
    if package is not None and (steps != group.split("/") if group else steps[0] == "hydra"):
        raise ConfigError(
            f"@package in {file}",
            expected=group.replace("/", ".") or "another than Hydra's own",
            got=package,
            hint=f"it may set {group}, and nothing else" if group else "",
        )
    if group.split("/")[0] == "hydra":
        _check_logging(group, said, file)
    elif not group and package in (None, "_global_") and "hydra" in said:
        _check_hydra(said["hydra"], file)
    _check_defaults(said.get("defaults"), group, file)


def _option(conf: Path, option: str) -> tuple[Container, dict[str, str | None]]:
    place = PurePosixPath(option)
    if place.is_absolute() or ".." in place.parts:
        raise ConfigError(option, expected=f"an option below {conf}", got="a path")
    file = Path(conf, CheckedFiles._normalize_file_name(option))
    text = _text(file)
    header = _header(text, file)
    config = parse_yaml(text, file)
    check_file(place, header.get("package"), config, file)
    return config, header


def _text(file: Path) -> str:
    try:
        return read_regular(file, _MAX_BYTES).decode()
    except OSError as error:
        raise ConfigError(str(file), expected="a file", got=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), expected="UTF-8", got=error) from error


def _header(text: str, file: Path) -> dict[str, str | None]:
    try:
        header: dict[str, str | None] = CheckedFiles._get_header_dict(text)
    except ValueError as error:
        raise ConfigError(str(file), expected="# @package NAME", got=error) from error
    return header


def _told(error: yaml.YAMLError) -> str:
    """Say in one line what is no YAML, and where."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = f" in line {mark.line + 1}" if mark else ""
    return f"{problem or str(error).splitlines()[0]}{place}"


def _refuse_repetition(root: yaml.Node | None) -> None:
    """Refuse a document that its aliases make endless, or far longer than it looks.

    Raises:
        yaml.YAMLError: it is.
    """
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            if (known := sizes[id(node)]) is None:
                raise yaml.YAMLError("a value that holds itself")
            return known
        sizes[id(node)] = None
        value = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [x for one in value for x in (one if isinstance(one, tuple) else (one,))]
        sizes[id(node)] = total = 1 + sum(size(one) for one in inner)
        if total > _MAX_NODES:
            raise yaml.YAMLError(f"over {_MAX_NODES} values, its aliases written out")
        return total

    if root is not None:
        size(root)


def _check_hydra(said: object, file: object) -> None:
    keys: dict[Any, Any] = said if isinstance(said, dict) else {said: said}
    if more := [str(key) for key in keys if keys[key] != _HYDRA.get(key, ...)]:
        raise ConfigError(
            f"hydra in {file}",
            expected="run: {dir: .}, output_subdir: null and the folder of sweeps, for the rest "
            "can run code",
            got=", ".join(more),
        )


def _check_logging(group: str, said: Any, file: object) -> None:
    if group not in _LOGGING:
        raise ConfigError(
            str(file), expected=f"no option of Hydra's own but {' and '.join(_LOGGING)}", got=group
        )
    for key, value in _pairs(said):
        fine = {"class": value in _HANDLERS, "()": False, ".": False}.get(str(key), True)
        if isinstance(value, str):
            fine &= "${" not in value and (value in _STREAMS or not value.startswith("ext://"))
        if not fine:
            raise ConfigError(
                f"{key} in {file}", expected="a plain handler on stdout or stderr", got=value
            )


def _pairs(node: Any) -> Iterator[tuple[object, Any]]:
    """Give the keys and values at all depths, a list's with the list's key."""
    waiting: list[tuple[object, Any]] = [("", node)]
    while waiting:
        name, one = waiting.pop()
        yield name, (one if not isinstance(one, dict | list) else type(one).__name__)
        if isinstance(one, dict):
            waiting += one.items()
        elif isinstance(one, list):
            waiting += [(name, value) for value in one]


def _check_defaults(entries: object, group: str, file: object) -> None:
    """Refuse a defaults list that puts an option elsewhere than into its group."""
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str):
            fine = "@" not in entry and not (group and "/" in entry)
        else:
            # a group and its option: for stages alone
            keys = [str(key) for key in entry] if isinstance(entry, dict) else [""]
            fine = not group and all(_is_group(key) for key in keys)
        if not fine:
            raise ConfigError(
                f"defaults in {file}",
                expected=f"options of {group} alone" if group else "groups and their options",
                got=entry,
            )


def _is_group(key: str) -> bool:
    name = key.split()[-1].lstrip("/") if key.split() else ""
    return "@" not in key and "$" not in key and (name.split("/")[0] != "hydra" or name in _LOGGING)
