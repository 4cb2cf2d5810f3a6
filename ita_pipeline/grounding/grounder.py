"""The grounder: the probability that a mention is in the picture, the box that shows it, and why.

A mention gets its best box if p·q > 1 − p, where p is the probability that the picture shows it, and q that the box
is right if it does: then a box is right more often than none. People get different boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ita_pipeline.corpus.posts import Box, Post, Span
from ita_pipeline.grounding.assignment import assign
from ita_pipeline.grounding.evidence import Candidate, Evidence, find_beside, is_person, propose, resemblance
from ita_pipeline.grounding.features import BOX_PRIOR, Name, box_features, list_names, visible_features
from ita_pipeline.grounding.linear import Features, Logistic
from ita_pipeline.grounding.metrics import TypePrior, agree, learn_priors

# Raised whenever the same posts and evidence would train another grounder.
GROUNDER_VERSION = 2

# Variances of weights: of the many words that rarely occur, and of the few features of boxes.
_WORD_VARIANCE, _BOX_VARIANCE = 0.1, 1.0

PostWithEvidence = tuple[Post, Evidence]


@dataclass(frozen=True, slots=True)
class Grounding:
    """Where the picture shows a mention: the probability that it does, its boxes, and the strongest evidence."""

    visible: float
    boxes: tuple[Box, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Grounder:
    """Two calibrated regressions, and the floors of the posts that they were trained on."""

    visible: Logistic
    box: Logistic = field(default_factory=lambda: Logistic.from_prior(BOX_PRIOR))
    priors: dict[str, TypePrior] = field(default_factory=dict)

    @classmethod
    def train(cls, posts: Sequence[PostWithEvidence]) -> Grounder | None:
        """Train on the gold mentions whose boxes are known; None if none of them has one.

        Without boxes of objects or words to choose from, boxes are judged as `BOX_PRIOR` says.
        """
        examples: list[Features] = []
        labels: list[bool] = []
        groups: list[int] = []
        pairs: list[tuple[Features, bool, int]] = []
        for number, (post, evidence) in enumerate(posts):
            known = [span for span in post.gold or () if span.boxes is not None]
            examples += [visible_features(post, span, post.gold or (), evidence) for span in known]
            labels += [bool(span.boxes) for span in known]
            groups += [number] * len(known)
            pairs += [(*pair, number) for pair in _box_pairs(post, evidence)]
        if not any(labels):
            return None
        visible = Logistic.fit(examples, labels, groups, _WORD_VARIANCE)
        priors = learn_priors(
            (span, evidence.size or picture_size(post)) for post, evidence in posts for span in post.gold or ()
        )
        if len({label for _, label, _ in pairs}) < 2:
            return cls(visible, priors=priors)
        features, right, numbers = zip(*pairs, strict=True)
        return cls(visible, Logistic.fit(features, right, numbers, _BOX_VARIANCE, BOX_PRIOR), priors)

    def ground(self, post: Post, spans: Sequence[Span], evidence: Evidence) -> list[Grounding]:
        """Ground the mentions of a post. Mentions of the same words and type share their box."""
        if not spans:
            return []
        if not post.pictures:
            return [Grounding(0.0, why="the post has no picture")] * len(spans)
        chances = self.visible.predict([visible_features(post, span, spans, evidence) for span in spans])
        found = [
            _Rated(name, tuple(members), float(np.mean(chances[members])), evidence, self._rate(name, evidence))
            for name, members in list_names(post, spans).items()
        ]
        grounded = {member: grounding for one, grounding in _choose(found) for member in one.members}
        return [grounded[index] for index in range(len(spans))]

    def _rate(self, name: Name, evidence: Evidence) -> list[tuple[Candidate, float]]:
        """Each candidate with the probability that it is right if the picture shows the mention."""
        candidates = propose(evidence, name.words)
        if not candidates:
            return []
        rated = self.box.predict(box_features(name, candidates, evidence))
        return list(zip(candidates, map(float, rated), strict=True))

    def explain(self, post: Post, span: Span, spans: Sequence[Span], evidence: Evidence) -> list[tuple[str, float]]:
        """What speaks for and against the mention being in the picture, in log odds, the strongest first."""
        return self.visible.contributions(visible_features(post, span, spans, evidence))


@dataclass(frozen=True, slots=True)
class _Rated:
    """A name in a post: its mentions, the probability that the picture shows it, and candidates with theirs."""

    name: Name
    members: tuple[int, ...]
    visible: float
    evidence: Evidence
    candidates: Sequence[tuple[Candidate, float]]

    def gains(self) -> dict[Box, float]:
        """How much more often each box is right than none, if it is more often right."""
        chances: dict[Box, float] = {}
        for candidate, right in self.candidates:
            chances[candidate.box] = max(right, chances.get(candidate.box, 0.0))
        gains = {box: self.visible * right - (1 - self.visible) for box, right in chances.items()}
        return {box: gain for box, gain in gains.items() if gain > 0}


def _box_pairs(post: Post, evidence: Evidence) -> Iterator[tuple[Features, bool]]:
    """The candidates of each name of a post that the picture shows, and whether each is right."""
    gold = post.gold or ()
    for name, members in list_names(post, gold).items():
        boxes = [box for member in members for box in gold[member].boxes or ()]
        candidates = propose(evidence, name.words) if boxes else ()
        for candidate, features in zip(candidates, box_features(name, candidates, evidence), strict=True):
            yield features, agree(boxes, [candidate.box])


def picture_size(post: Post) -> tuple[float, float] | None:
    """The size of a post's first picture as its dataset tells it."""
    return post.pictures[0].size if post.pictures else None


def _choose(names: Sequence[_Rated]) -> Iterator[tuple[_Rated, Grounding]]:
    """Give each name the candidate that gains most over no box; people get different ones."""
    gains = {one.name: one.gains() for one in names}
    people = [one.name for one in names if is_person(one.name.type)]
    boxes = list(dict.fromkeys(box for name in people for box in gains[name]))
    columns = assign([[gains[name].get(box, 0.0) for box in boxes] for name in people])
    assigned = {name: boxes[column] for name, column in zip(people, columns, strict=True) if column is not None}
    for one in names:
        found = gains[one.name]
        box = (
            assigned.get(one.name) if is_person(one.name.type) else max(found, key=found.__getitem__, default=None)
        )
        fitting = (pair for pair in one.candidates if pair[0].box == box)
        yield one, _describe(one, max(fitting, key=lambda pair: pair[1])[0] if box is not None else None)


def _describe(one: _Rated, chosen: Candidate | None) -> Grounding:
    if chosen is None:
        return Grounding(one.visible, (), "no box fits" if one.visible > 0.5 else "hardly in the picture")
    return Grounding(one.visible, (chosen.box,), _explain_box(one, chosen))


def _explain_box(one: _Rated, chosen: Candidate) -> str:
    """The evidence that a box shows a name."""
    named = [word for word in chosen.words if resemblance(one.name.words, [word]) > 0]
    words, label = " ".join(named or chosen.words), chosen.label.lower()
    if chosen.is_text:
        return f"{words} in the picture"
    if resemblance(one.name.words, chosen.words) > 0.5:
        return f"{words} on the {label}"
    if chosen.is_query and not chosen.is_person:
        return f"looks like {chosen.label}"
    alike = [other for other, _ in one.candidates if other.label == chosen.label]
    if len(alike) == 1:
        return f"the only {label}"
    shares = [share for words, box, share in one.evidence.shares if (words, box) == (one.name.words, chosen.box)]
    if max(shares, default=0.0) > 0.5:
        return f"the {label} that looks most like the name"
    counted = f"{label} {sorted(other.box for other in alike).index(chosen.box) + 1} of {len(alike)} from the left"
    is_beside = chosen in find_beside(one.name.words, alike, one.evidence)
    return f"the name beside {counted}" if is_beside else counted
