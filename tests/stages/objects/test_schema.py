"""Settings of the stage `objects`."""

from __future__ import annotations

from stages.base import EXECUTION, SEMANTIC
from stages.objects.schema import ObjectsConfig


def test_floors_are_semantic_and_the_device_is_an_execution_setting():
    default = ObjectsConfig()
    for semantic in ({"floor": 0.3}, {"attributes": "none"}, {"most": 5}, {"detector_revision": "v1"}):
        assert ObjectsConfig.model_validate(semantic).of_role(SEMANTIC) != default.of_role(SEMANTIC)
    assert ObjectsConfig(device="cuda", batch=1).of_role(SEMANTIC) == default.of_role(SEMANTIC)
    assert ObjectsConfig(device="cuda", batch=1).of_role(EXECUTION) != default.of_role(EXECUTION)
