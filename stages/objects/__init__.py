"""The stage `objects`: detected objects with attributes (ITA's LA).

To add a detector, implement `detectors.Detector` in a module here and choose it in `detectors`. To add a classifier
for attributes, implement `attributors.Attributor` and choose it in `attributors`.
"""

from stages.objects.schema import Attribute, Object, ObjectsConfig, ObjectsValue
from stages.objects.stage import ObjectsStage

__all__ = ["Attribute", "Object", "ObjectsConfig", "ObjectsStage", "ObjectsValue"]
