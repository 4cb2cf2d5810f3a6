"""Model cards: text of a dataset or run is never markup."""

from __future__ import annotations

from ita_pipeline.runs.model_card import escape_markdown


def test_text_stays_text_in_markdown():
    assert escape_markdown("a|b\n`c` [d](e) <f> *g* _h_") == r"a\|b \`c\` \[d\](e) \<f\> \*g\* \_h\_"
