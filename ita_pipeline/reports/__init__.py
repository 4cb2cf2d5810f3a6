"""HTML pages about runs, datasets and pictures.

May import all packages below it; runs no stage and trains nothing. `build` and `comparison` make the pages.
To add a block to the page of a run, write a function that takes `blocks.RunData` and returns a `blocks.Block`,
or None if it has nothing to show, and list it in `run_section.BLOCKS`.
"""
