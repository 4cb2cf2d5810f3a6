"""A sentence about detected objects, which replaces a caption if there is no captioning model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stages.languages import load_words
from stages.objects.schema import Object, tag

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}

PAIRS = ("skis", "scissors")

IRREGULAR_PLURALS = {
    **{label: label for label in PAIRS},
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "mouse": "mice",
    "sheep": "sheep",
}


def build_sentence(objects: Sequence[Object], language: str = "") -> str:
    """Return `a picture of two people, a red bus and a dog`, with labels in the order of their first appearance."""
    attributes = {
        detected.label: detected.attributes[0].label for detected in reversed(objects) if detected.attributes
    }
    if words := load_words(language):
        return words.describe([detected.label for detected in objects], attributes)
    counts = Counter(detected.label for detected in objects)
    parts = [_build_phrase(label, count, attributes.get(label)) for label, count in counts.items()]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"a picture of {listed}"


def pluralize(label: str) -> str:
    """Return the plural of a label, such as `knives`."""
    if label in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[label]
    if label.endswith("knife"):
        return label[:-2] + "ves"
    if label.endswith("y") and label[-2:-1] not in tuple("aeiou"):
        return label[:-1] + "ies"
    if label.endswith(("s", "ch", "sh", "x")):
        return label + "es"
    return label + "s"


def _build_phrase(label: str, count: int, attribute: str | None) -> str:
    if count > 1:
        return f"{NUMBERS.get(count, 'many')} {pluralize(label)}"
    words = tag(label, [attribute] if attribute else [])
    if label in PAIRS:
        return words
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
