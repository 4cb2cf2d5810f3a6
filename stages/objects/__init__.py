"""The stage `objects`: detected objects with attributes (ITA's LA).

To add a detector, implement `stage.Detector` in a module here and choose it in `stage`.
"""

from stages.objects.schema import Attribute, Object, ObjectsConfig, ObjectsValue
from stages.objects.stage import ObjectsStage

__all__ = ["Attribute", "Object", "ObjectsConfig", "ObjectsStage", "ObjectsValue"]
