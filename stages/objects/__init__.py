"""The stage `objects`: detected objects with attributes (ITA's LA).

To add a detector, implement `stage.Detector` in a module here and choose it at the end of `stage`. To add a
classifier for attributes, implement `stage.Attributor` and choose it there.
"""

from stages.objects.schema import Attribute, Object, ObjectsConfig, ObjectsValue
from stages.objects.stage import ObjectsStage

__all__ = ["Attribute", "Object", "ObjectsConfig", "ObjectsStage", "ObjectsValue"]
