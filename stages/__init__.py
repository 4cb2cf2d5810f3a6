"""Stages: each turns one image or post into one value, such as captions, objects or words.

Imports nothing of `ita_pipeline`, so that a stage can be read, tested and replaced alone.
To add a stage, write a package here after the contract in `base`, and name it in `pyproject.toml`.
"""
