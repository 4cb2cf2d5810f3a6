"""The stage `ocr`: words in an image, read by Tesseract or RapidOCR (ITA's OCA)."""

from stages.ocr.schema import OcrConfig, OcrValue, Word
from stages.ocr.stage import OcrStage

__all__ = ["OcrConfig", "OcrStage", "OcrValue", "Word"]
