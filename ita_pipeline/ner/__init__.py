"""The tagger: views, encoder, CRF, cross-view alignment, training and metrics.

May import `core`, `corpus`, `stages.base` and `stages.models`; never images, the cache or run folders.
To add a training setting, start at `config`; a metric goes to `metrics/`, what happens in an epoch to `training/`.
"""
