"""A cache on object storage or a shared file system: read from it, push to it, and maintain it."""
