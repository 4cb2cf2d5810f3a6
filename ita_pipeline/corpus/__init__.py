"""Posts and datasets: the formats they are read from, their contexts, checks and statistics.

May import `core`, `sources` and the values of `stages`; never the cache, an engine, or torch at import.
To add a dataset format, write a module in `formats/` and name it in `datasets`; context rendering is in `contexts`.
"""
