"""Model loading that stages share: the Hugging Face hub, ONNX Runtime, devices, threads and library versions.

May import `stages.base`; knows no stage. Reads weights from safetensors or pinned files; runs no code of the hub.
To load a model of transformers, start at `loading`; `identity` finds the exact weights for a key.
"""
