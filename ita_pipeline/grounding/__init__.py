"""Grounding: which box of the picture shows a mention, if any, and how that is scored.

Works on the tagger's mentions, after the tagger; no box is ever a context. May import `core`, `corpus`, `cache`,
`ner` and the schemas of stages; never `extraction`, runs or pages.
To add a sign that a mention is shown, or that a box shows it, start at `features`; a source of boxes goes to
`evidence`, a score to `metrics`.
"""
