"""A sentence about the things that were found: what stands in for a caption where there is no captioner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stages.objects.schema import Object, tag

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}

PAIRS = ("skis", "scissors")

IRREGULAR = {
    **{label: label for label in PAIRS},
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "mouse": "mice",
    "sheep": "sheep",
}


def sentence(objects: Sequence[Object]) -> str:
    """`a picture of two people, a red bus and a dog`: objects in order of their first appearance."""
    counts = Counter(thing.label for thing in objects)
    attributes = {thing.label: thing.attributes[0].label for thing in reversed(objects) if thing.attributes}
    parts = [phrase(label, count, attributes.get(label)) for label, count in counts.items()]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"a picture of {listed}"


def phrase(label: str, count: int, attribute: str | None) -> str:
    if count > 1:
        return f"{NUMBERS.get(count, 'many')} {plural(label)}"
    words = tag(label, [attribute] if attribute else [])
    if label in PAIRS:
        return words
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def plural(label: str) -> str:
    if label in IRREGULAR:
        return IRREGULAR[label]
    if label.endswith("knife"):
        return label[:-2] + "ves"
    if label.endswith("y") and label[-2:-1] not in tuple("aeiou"):
        return label[:-1] + "ies"
    if label.endswith(("s", "ch", "sh", "x")):
        return label + "es"
    return label + "s"
