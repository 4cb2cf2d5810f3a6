"""Everything about run folders: plan, train, evaluate, predict, compare and export.

May import all packages below it; never writes HTML.
To add a file to run folders, start at `run`; what makes a run stale is in `plan`.
"""
