"""The content-hashed cache: keys, segments, the store over them, and the plan of what is stale."""
