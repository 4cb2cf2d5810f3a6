"""The stage `ocr`: words in an image, read by Tesseract or RapidOCR (ITA's OCA).

May import `stages.base` and `stages.models`.
To add an engine, implement `readers.OcrReader` in a module here and choose it in `stage.OcrStage.reader`.
"""

from stages.ocr.schema import OcrConfig, OcrValue, Word
from stages.ocr.stage import OcrStage

__all__ = ["OcrConfig", "OcrStage", "OcrValue", "Word"]
