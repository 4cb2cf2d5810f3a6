"""Training of the tagger: batches, optimizer, checkpoints, loggers and the loop.

May import `core`, `corpus` and the rest of `ner`; knows work folders, but no finished runs.
To add a setting of training, start at `ner.config`; where it acts is `trainer` or `optimizer`.
"""
