"""Model loading that stages share: the Hugging Face hub, ONNX Runtime, devices, threads and library versions."""
