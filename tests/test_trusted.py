from __future__ import annotations

import pytest

from featbank.errors import ConfigError
from featbank.feature_io import FeatureStorageConfig
from featbank.runners.local import LocalRunner
from featbank.trusted import build, check_name, locate_class


def test_a_target_of_ours_is_built_with_its_arguments() -> None:
    runner = build({"_target_": "featbank.runners.local.LocalRunner", "num_workers": 3})
    assert isinstance(runner, LocalRunner)
    assert runner.num_workers == 3


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.Popen", "builtins.eval", "featbankx.A"]
)
def test_a_target_of_another_package_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="expected a class under featbank, got another module"):
        locate_class(target)


@pytest.mark.parametrize(
    "target",
    [
        "featbank.trusted.import_module",  # a function that we import
        "featbank.failures.Path",  # a class that we import
        "featbank.trusted.build",  # a function of ours
    ],
)
def test_a_path_through_our_modules_to_anything_but_our_classes_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="expected a class defined under featbank"):
        locate_class(target)


def test_a_module_reached_through_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a class, got No module named"):
        locate_class("featbank.provenance.os.system")


def test_a_package_that_the_user_trusts_may_be_named() -> None:
    assert locate_class("fractions.Fraction", ["fractions"]).__name__ == "Fraction"


def test_arguments_a_class_does_not_take_are_named() -> None:
    with pytest.raises(ConfigError, match="got an unexpected keyword argument 'workers'"):
        build({"_target_": "featbank.runners.local.LocalRunner", "workers": 3})


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "a b", 3, None])
def test_a_name_that_would_leave_its_folder_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"feature\.name: expected letters, digits"):
        check_name(name, "feature.name")
    with pytest.raises(ConfigError, match="storage: name: expected letters, digits"):
        FeatureStorageConfig(name=name)  # type: ignore[arg-type]


def test_a_configuration_without_a_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the name of a class, got None"):
        build({"num_workers": 3})
