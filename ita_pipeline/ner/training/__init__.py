"""Training of the tagger: batches, optimizer, checkpoints, loggers and the loop."""
