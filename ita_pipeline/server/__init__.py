"""A local page to try a trained run on: type a tweet, drop a picture."""
