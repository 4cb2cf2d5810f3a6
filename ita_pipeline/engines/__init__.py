"""Run a plan: on this machine (`local`) or on a Ray cluster (`ray/`).

May import `core`, `sources`, `cache`, `stages.base` and `stages.models.threads`; never knows what a stage does.
To add an engine, implement `base.Engine` in a module here and choose it in `factory`.
"""
