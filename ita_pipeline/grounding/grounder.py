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
from ita_pipeline.grounding.evidence import Candidate, Evidence, is_person, propose, resemblance
from ita_pipeline.grounding.features import BOX_PRIOR, Name, box_features, list_names, visible_features
from ita_pipeline.grounding.linear import Features, Logistic
from ita_pipeline.grounding.metrics import TypePrior, agree, learn_priors

# Raised whenever the same posts and evidence would train another grounder.
GROUNDER_VERSION = 1

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
        """Train on the gold mentions whose boxes are known; None if they do not differ in that.

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
        if len(set(labels)) < 2:
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
            _Rated(name, tuple(members), float(np.mean(chances[members])), self._rate(name, evidence))
            for name, members in list_names(post, spans).items()
        ]
        grounded = {member: grounding for one, grounding in _choose(found) for member in one.members}
        return [grounded[index] for index in range(len(spans))]

    def _rate(self, name: Name, evidence: Evidence) -> list[tuple[Candidate, float]]:
        """Each candidate with the probability that it is right if the picture shows the mention."""
        candidates = propose(evidence, name.words)
        if not candidates:
            return []
        rated = self.box.predict([box_features(name, one, candidates, evidence) for one in candidates])
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
    candidates: Sequence[tuple[Candidate, float]]


def _box_pairs(post: Post, evidence: Evidence) -> Iterator[tuple[Features, bool]]:
    """The candidates of each name of a post that the picture shows, and whether each is right."""
    gold = post.gold or ()
    for name, members in list_names(post, gold).items():
        boxes = [box for member in members for box in gold[member].boxes or ()]
        candidates = propose(evidence, name.words) if boxes else ()
        for candidate in candidates:
            yield box_features(name, candidate, candidates, evidence), agree(boxes, [candidate.box])


def picture_size(post: Post) -> tuple[float, float] | None:
    """The size of a post's first picture as its dataset tells it."""
    return post.pictures[0].size if post.pictures else None


def _choose(names: Sequence[_Rated]) -> Iterator[tuple[_Rated, Grounding]]:
    """Give each name the candidate that gains most over no box; people get different ones."""
    people = [one for one in names if is_person(one.name.type)]
    boxes = list(dict.fromkeys(candidate.box for one in people for candidate, _ in one.candidates))
    gains = [[_gain(one, box) for box in boxes] for one in people]
    columns = zip(people, assign(gains), strict=True)
    assigned = {one.name: boxes[column] for one, column in columns if column is not None}
    for one in names:
        best = max(one.candidates, key=lambda pair: pair[1], default=None)
        if is_person(one.name.type):
            best = next((pair for pair in one.candidates if pair[0].box == assigned.get(one.name)), None)
        elif best is not None and _gain(one, best[0].box) <= 0:
            best = None
        yield one, _describe(one, best[0] if best else None)


def _gain(one: _Rated, box: Box) -> float:
    right = max((chance for candidate, chance in one.candidates if candidate.box == box), default=0.0)
    return one.visible * right - (1 - one.visible)


def _describe(one: _Rated, chosen: Candidate | None) -> Grounding:
    if chosen is None:
        return Grounding(one.visible, (), "no box fits" if one.visible > 0.5 else "hardly in the picture")
    return Grounding(one.visible, (chosen.box,), _explain_box(one, chosen))


def _explain_box(one: _Rated, chosen: Candidate) -> str:
    """The evidence that a box shows a name."""
    words, label = " ".join(chosen.words), chosen.label.lower()
    if chosen.is_text:
        return f"{words} in the picture"
    if resemblance(one.name.words, chosen.words) > 0.5:
        return f"{words} on the {label}"
    if chosen.is_query and not chosen.is_person:
        return f"looks like {chosen.label}"
    alike = [other.box for other, _ in one.candidates if other.label == chosen.label]
    if len(alike) == 1:
        return f"the only {label}"
    return f"{label} {sorted(alike).index(chosen.box) + 1} of {len(alike)} from the left"
