"""Posts for training that are like a given one: the examples in a prompt, chosen as PGIM does, by similarity.

Only posts for training come in, and a post is never an example of itself, nor is one of the same words.
(Li et al., Prompting ChatGPT in MNER, Findings of EMNLP 2023, section 3.2; there of pictures too, here of texts.)
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.iteration import batched
from ita_pipeline.corpus.posts import Post
from stages.base import Example

if TYPE_CHECKING:
    import numpy as np


BATCH = 32

# Thousands of posts take minutes on a CPU: who interrupts that loses no more than so many texts.
KEPT_EVERY = 1024

MOST_SUBTOKENS = 128

NO_NAMES = "none"

KINDS = {"PER": "person", "LOC": "location", "ORG": "organisation", "MISC": "other name", "OTHER": "other name"}

LINK = re.compile(r"https?\s*:?\s*/\s*/\s*\S+|\b[\w.]+\.co/\S+")


class ExampleSelector:
    """`train` are posts with gold mentions, `encoder` a text encoder by name; vectors are kept below `root`."""

    def __init__(self, train: Sequence[Post], encoder: str, root: Path) -> None:
        self.pool = list({post.text: post for post in train if post.gold is not None}.values())
        self.sayings = [words_of(post.text) for post in self.pool]
        self.encoder, self.root = encoder, root

    def choose(self, texts: Sequence[str], shots: int) -> dict[str, tuple[Example, ...]]:
        """For each text the most similar examples, the most similar one last, beside the question.

        Raises:
            StageError: the encoder is missing.
        """
        import numpy as np

        if not self.pool or not texts:
            return {}
        wanted = list(dict.fromkeys(texts))
        vectors = Vectors(self.encoder, self.root).of([*wanted, *(post.text for post in self.pool)])
        asked, pool = vectors[: len(wanted)], vectors[len(wanted) :]
        found: dict[str, tuple[Example, ...]] = {}
        for text, vector in zip(wanted, asked, strict=True):
            # Rounded, so that another thread count does not turn two that are as near around.
            order = np.lexsort((np.arange(len(pool)), -np.round(pool @ vector, 4)))
            own = words_of(text)
            best = list(islice((number for number in order if self.sayings[number] != own), shots))
            found[text] = tuple(as_example(self.pool[number]) for number in reversed(best))
        return found


def words_of(text: str) -> str:
    """A text without what a retweet changes: case, links, punctuation, and the `RT @somebody` before it."""
    words = re.findall(r"@?\w+", re.sub(r"@\s+", "@", LINK.sub(" ", text.casefold())))
    while words and words[0] == "rt":
        somebody = len(words) > 1 and words[1].startswith("@")
        words = words[2:] if somebody else words[1:]
    return " ".join(word.lstrip("@") for word in words)


def as_example(post: Post) -> Example:
    names = []
    for span in post.gold or ():
        start, end = post.offsets[span.start][0], post.offsets[span.end - 1][1]
        names.append(f"{post.text[start:end]} ({KINDS.get(span.type, span.type)})")
    return Example(post.text, ", ".join(names) or NO_NAMES)


class Vectors:
    """Texts as unit vectors, the mean over an encoder's sub-tokens; each text is encoded once."""

    def __init__(self, encoder: str, root: Path) -> None:
        from ita_pipeline.ner.encoders import find_encoder

        self.encoder = find_encoder(encoder)
        self.file = root / "similarity" / f"{hashlib.sha256(self.encoder.identity.encode()).hexdigest()[:16]}.npz"

    def of(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """(N, H) of float32, in order."""
        import numpy as np

        names = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        known = self.kept()
        new = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
        for some in batched(new, KEPT_EVERY):
            known |= dict(zip(some, self.encoded([new[name] for name in some]), strict=True))
            self.keep(known)
        return np.stack([known[name] for name in names])

    def kept(self) -> dict[str, np.ndarray[Any, Any]]:
        """What was encoded before; a damaged file is as good as none."""
        import numpy as np

        try:
            with np.load(self.file, allow_pickle=False) as content:
                return dict(zip(content["names"].tolist(), content["vectors"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}

    def keep(self, vectors: dict[str, np.ndarray[Any, Any]]) -> None:
        import numpy as np

        from ita_pipeline.core.files import open_atomically

        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(self.file) as opened:
                np.savez(opened, names=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
        except OSError:
            return  # they are encoded again next time

    def encoded(self, texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        import torch

        from ita_pipeline.ner.encoders import load_encoder, max_row_length

        model, tokenizer = load_encoder(self.encoder)
        model.eval()
        longest = min(MOST_SUBTOKENS, max_row_length(model, tokenizer))
        found: list[Any] = [None] * len(texts)
        # Texts of a length together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for start in range(0, len(texts), BATCH):
            numbers = order[start : start + BATCH]
            batch = tokenizer(
                [texts[n] for n in numbers],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
                verbose=False,
            )
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][:, :, None]
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            unit = torch.nn.functional.normalize(mean, dim=1).numpy()
            for number, vector in zip(numbers, unit, strict=True):
                found[number] = vector
        return found
