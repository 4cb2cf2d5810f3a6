"""A cache on object storage or a shared file system: read from it, push to it, and maintain it.

May import `core` and the rest of `cache`; knows no engine, and nothing of the command line.
To support another kind of storage, start at `store`; to change what is transferred, at `sync`.
"""
