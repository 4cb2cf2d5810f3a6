"""Model loading that stages share: the Hugging Face hub, ONNX Runtime, threads and library versions."""
