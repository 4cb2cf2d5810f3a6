"""The cache: keys, records, the store, its index, the plan of what is stale, and the reasons for it.

May import `core`, `sources.refs` and `stages.base`; loads no model and knows no engine.
To add a field of a record, start at `records` and `validate`; a reason for staleness, at `reasons` and `plan`.
"""
