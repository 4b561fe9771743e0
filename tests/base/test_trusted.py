from __future__ import annotations

import pytest

from featbank.base.trusted import check_modules, locate_class
from featbank.errors import ConfigError


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.Popen", "builtins.eval", "featbankx.A"]
)
def test_a_target_of_another_package_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="expected a class under featbank, got another module"):
        locate_class(target)


@pytest.mark.parametrize(
    "target",
    [
        "featbank.base.trusted.import_module",  # a function that we import
        "featbank.base.failures.Path",  # a class that we import
        "featbank.base.building.build",  # a function of ours
    ],
)
def test_a_path_through_our_modules_to_anything_but_our_classes_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="expected a class defined under featbank"):
        locate_class(target)


def test_a_module_reached_through_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a class, got No module named"):
        locate_class("featbank.files.provenance.os.system")


def test_a_package_that_the_user_trusts_may_be_named() -> None:
    assert locate_class("fractions.Fraction", ["fractions"]).__name__ == "Fraction"


@pytest.mark.parametrize("names", [[""], ["."], ["os."], [".os"], ["a b"], "os", [1], None])
def test_trusted_modules_are_names_of_packages(names: object) -> None:
    with pytest.raises(ConfigError, match=r"trusted_modules: expected a list: \[yourpackage\]"):
        check_modules(names)


@pytest.mark.parametrize("target", ["os", ".os.system", "featbank..x", "featbank.x\ud800.Y", "a"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="_target_ "):
        locate_class(target)


def test_an_empty_name_trusts_no_module() -> None:
    with pytest.raises(ConfigError, match="trusted_modules"):
        locate_class("os.system", [""])
