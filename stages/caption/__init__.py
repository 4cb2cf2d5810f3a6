"""The stage `caption`: sentences about an image, by a captioning model, a server or a template (ITA's GA).

To add a captioner, implement `stage.Captioner` in a module here and choose it in
`stage.CaptionStage.captioner`.
"""

from stages.caption.schema import Caption, CaptionConfig, CaptionValue
from stages.caption.stage import CaptionStage

__all__ = ["Caption", "CaptionConfig", "CaptionStage", "CaptionValue"]
