"""The words of raw text: one rule for training and prediction, independent of labels.

Links, e-mail addresses, handles, hashtags, emoticons, emoji, HTML entities, numbers, times and abbreviations are
one word each. So is every letter of a script that is written without spaces: Chinese, Japanese, Thai, Lao, Khmer,
Burmese. `'s` is a word of its own, as in the files of Twitter-2015. A hyphen divides two abbreviations (`NY-LA`),
and a period divides two words (`Paris.It`), but not `Jean-Luc` or `U.S.`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

TOKENIZATION = 1
"""Version of the rule, part of a run's key. Raise it whenever any text gets other words."""

_UNSPACED = r"\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}"
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d]--[[\p{{L}}\p{{M}}\p{{Nl}}]&&[{_UNSPACED}]]]"
_IN_LINK = r"[A-Za-z0-9._~:/?\#\[\]@!$&'()*+,;=%-]*[A-Za-z0-9_~/=%&\#+-]"
_DOMAIN = r"[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*"
_EYES, _NOSE, _MOUTH = "[:;=]", r"[o*^'-]?", r"[()\[\]{}dDpPoO/\\|@3*]"

# The first alternative that matches at a position wins.
_WORDS = rf"""
      (?:https?://|www\.){_IN_LINK}
    | (?<![@\w.-]){_DOMAIN}\.(?:com|org|net|edu|gov|mil|info|biz|tv|io|co\.[a-z]{{2}})(?![\w.]*\w)(?:/{_IN_LINK})?
    | (?<![@\w.-]){_DOMAIN}\.[a-z]{{2,}}/{_IN_LINK}
    | [A-Za-z0-9._+-]+@{_DOMAIN}\.[A-Za-z]{{2,}}
    | &(?:amp|lt|gt|quot|apos|nbsp|\#\d{{1,7}}|\#x[0-9A-Fa-f]{{1,6}});
    | (?=\p{{Extended_Pictographic}}|\p{{Regional_Indicator}}|[0-9\#*]\ufe0f?\u20e3)\X
    | (?<!\w)(?:[<>]?{_EYES}{_NOSE}{_MOUTH}|[()\[\]][o*^'-]?{_EYES}|<3+|[xX]D+|\^_+\^)(?![\w/])
    | [@＠]{_LETTER}+ | [\#＃]{_LETTER}+(?:-{_LETTER}+)*
    | (?<!\w)\$[A-Z]{{1,6}}(?!\w)
    | (?<=[\w.])['’][sS](?!{_LETTER})
    | (?<!{_LETTER})\p{{L}}(?:\.\p{{L}})+(?!{_LETTER})\.?
    | (?=[[\p{{L}}\p{{Nl}}]&&[{_UNSPACED}]])\X
    | {_LETTER}+
      (?:(?: ['’](?![sS](?!{_LETTER}))                                      # can't, but not Ashby's
           | -(?<!(?<!{_LETTER})\p{{Lu}}{{2,}}-(?=\p{{Lu}}{{2,}}(?!{_LETTER})))  # Jean-Luc, but not NY-LA
           | (?<=\p{{Nd}})[.,:/](?=\p{{Nd}})                                # 3.5, 10:30, 9/11
         ){_LETTER}+)*
    | <?([.*=~-])\1+>?|<[=-]|[=-]>
    | [^\s\x1c-\x1f]\p{{M}}*
"""


@functools.cache
def _word_pattern() -> regex.Pattern[str]:
    import regex

    return regex.compile(_WORDS, regex.VERBOSE | regex.V1)


@functools.cache
def _unspaced_pattern() -> regex.Pattern[str]:
    import regex

    return regex.compile(rf"[{_UNSPACED}]", regex.V1)


def has_unspaced(text: str) -> bool:
    """Whether `text` has a letter or sign of a script that is written without spaces."""
    return _unspaced_pattern().search(text) is not None


def tokenize(text: str) -> list[tuple[int, int]]:
    """Character spans of the words of `text`, in order, end exclusive. Together they cover all but white space."""
    return [match.span() for match in _word_pattern().finditer(text)]
