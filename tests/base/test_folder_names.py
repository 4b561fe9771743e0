from __future__ import annotations

import pytest

from featbank.base.folder_names import check_name
from featbank.errors import ConfigError
from featbank.feature_io import FeatureStorageConfig


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "a b", 3, None])
def test_a_name_that_would_leave_its_folder_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"feature\.name: expected letters, digits"):
        check_name(name, "feature.name")
    with pytest.raises(ConfigError, match="storage: name: expected letters, digits"):
        FeatureStorageConfig(name=name)  # type: ignore[arg-type]
