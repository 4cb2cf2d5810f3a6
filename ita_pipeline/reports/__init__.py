"""HTML pages about runs, datasets and images.

May import all packages below it; runs no stage and trains nothing.
To add a block to the page of a run, write a function that returns a `blocks.Block` and list it in `run_section`.
"""
