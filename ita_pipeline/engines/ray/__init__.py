"""The engine that runs a plan on a Ray cluster.

May import what `engines` may; Ray itself is imported only inside functions, since it is an extra.
To add an option of the cluster, start at `cluster.RayPool`; what an actor does is in `actor`.
"""
