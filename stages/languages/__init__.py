"""Words of captions, object tags and prompts in languages other than English.

A file per language has the forms of sentences, and words for the labels and attributes of this package's detectors
and attribute lists. A label without a word in the file stays in English.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import yaml
from pydantic import AfterValidator

from stages.base import Frozen

ENGLISH = "en"


class Noun(NamedTuple):
    """A word for a thing; `kind` is its measure word, counter or gender, `plural` the word for several."""

    word: str
    kind: str = ""
    plural: str = ""


class Words(Frozen):
    """The content of a language's file.

    Attributes:
        caption_prompt: The question to a model that writes captions.
        sentence: The template caption, with `{things}`.
        separator: Between the things of that sentence.
        last_separator: Before the last of them.
        tag_separator: Between object tags.
        single: One thing, with `{kind}`, `{article}` and `{thing}`.
        several: A number of things, with `{number}`, `{kind}` and `{thing}`.
        many: More things than `numbers` has.
        numbers: Words for numbers.
        kind: The kind of a thing without a word.
        articles: The article of a thing, by its kind.
        endings: The ending of an attribute, by the kind of its thing; for attributes that end in a hyphen.
        space: Between an attribute and its thing.
        unspaced: Whether the language is written without spaces between words.
        types: Names of entity types, for examples in prompts.
        no_names: The answer of an example without a mention.
        nouns: Words for labels in lower case. An attribute among them, such as `taxi`, replaces the label.
        attributes: Words for attributes in lower case.
    """

    caption_prompt: str
    sentence: str
    separator: str
    last_separator: str
    tag_separator: str
    single: str
    several: str
    many: str
    numbers: Mapping[int, str]
    kind: str
    articles: Mapping[str, str] = {}
    endings: Mapping[str, str] = {}
    space: str = ""
    unspaced: bool = False
    types: Mapping[str, str]
    no_names: str
    nouns: Mapping[str, Noun]
    attributes: Mapping[str, str]

    def name(self, label: str, attributes: Sequence[str] = ()) -> str:
        """Return a thing with its attributes, such as `红色公交车`."""
        return self._name(self._find_noun(label, attributes), attributes)

    def describe(self, labels: Sequence[str], attributes: Mapping[str, str]) -> str:
        """Return a sentence about things, given by one label each; a thing that is alone has its attribute."""
        parts = [
            self._count(label, count, [attributes[label]] if label in attributes else [])
            for label, count in Counter(labels).items()
        ]
        things = self.last_separator.join(filter(None, [self.separator.join(parts[:-1]), parts[-1]]))
        return self.sentence.format(things=things)

    def _count(self, label: str, count: int, attributes: Sequence[str]) -> str:
        if count == 1:
            noun = self._find_noun(label, attributes)
            article = self.articles.get(noun.kind, "")
            return self.single.format(kind=noun.kind, article=article, thing=self._name(noun, attributes))
        noun = self._find_noun(label, ())
        thing, number = noun.plural or noun.word, self.numbers.get(count)
        if number is None:
            return self.many.format(thing=thing)
        return self.several.format(number=number, kind=noun.kind, thing=thing)

    def _find_noun(self, label: str, attributes: Sequence[str]) -> Noun:
        names = [*attributes, label]
        return next(
            (self.nouns[name.lower()] for name in names if name.lower() in self.nouns), Noun(label, self.kind)
        )

    def _name(self, noun: Noun, attributes: Sequence[str]) -> str:
        words = ""
        for attribute in attributes:
            word = self.attributes.get(attribute.lower())
            if word is not None:
                ending = self.endings.get(noun.kind, "") if word.endswith("-") else ""
                words += word.removesuffix("-") + ending + self.space
            elif attribute.lower() not in self.nouns:
                words += f"{attribute} "
        return words + noun.word


@functools.cache
def list_languages() -> list[str]:
    """Return the codes of the languages that have words, English included."""
    return sorted([ENGLISH, *(file.stem for file in Path(__file__).parent.glob("*.yaml"))])


def find_language(tag: str) -> str | None:
    """Return the code of a language tag such as `zh-Hans-CN` among those that have words, or None."""
    code = tag.replace("_", "-").partition("-")[0].lower()
    return code if code in list_languages() else None


@functools.cache
def load_words(language: str) -> Words | None:
    """Return the words of a language, or None for English, whose words are in the modules that use them."""
    code = find_language(language)
    if code in (None, ENGLISH):
        return None
    return Words.model_validate(yaml.safe_load((Path(__file__).parent / f"{code}.yaml").read_text("utf-8")))


def _check_language(tag: str) -> str:
    if tag and find_language(tag) is None:
        raise ValueError(f"there are no words in {tag}; known are {', '.join(list_languages())}")
    return tag


Language = Annotated[str, AfterValidator(_check_language)]
"""A setting: the tag of a language that has words, or empty for English."""
