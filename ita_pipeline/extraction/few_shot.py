"""Few-shot examples for a prompt: labeled training posts, selected by similarity as in PGIM.

Only training posts are candidates, and a post is never an example for itself or for a post of the same words.
(Li et al., Prompting ChatGPT in MNER, Findings of EMNLP 2023, section 3.2; that paper compares texts and pictures,
this module compares texts.)
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.iteration import batched
from ita_pipeline.corpus.posts import Post
from stages.base import Example

if TYPE_CHECKING:
    import numpy as np

BATCH_SIZE = 32

MAX_SUBTOKENS = 128

TYPE_NAMES = {
    "PER": "person",
    "LOC": "location",
    "ORG": "organisation",
    "MISC": "other name",
    "OTHER": "other name",
}

LINK = re.compile(r"https?\s*:?\s*/\s*/\s*\S+|\b[\w.]+\.co/\S+")


class ExampleSelector:
    """Selects examples among training posts with gold mentions by the similarity of their texts.

    `encoder` is the name of a text encoder; vectors are cached below `root`.
    """

    def __init__(self, train: Sequence[Post], encoder: str, root: Path) -> None:
        self.candidates = list({post.text: post for post in train if post.gold is not None}.values())
        self.normalized = [normalize(post.text) for post in self.candidates]
        self.encoder, self.root = encoder, root

    def select(self, texts: Sequence[str], shots: int) -> dict[str, tuple[Example, ...]]:
        """The most similar examples for each text. The most similar one is the last, next to the question.

        Raises:
            StageError: the encoder is missing.
        """
        import numpy as np

        if not self.candidates or not texts:
            return {}
        queries = list(dict.fromkeys(texts))
        candidate_texts = [post.text for post in self.candidates]
        vectors = TextVectors(self.encoder, self.root).encode([*queries, *candidate_texts])
        query_vectors, candidate_vectors = vectors[: len(queries)], vectors[len(queries) :]
        examples: dict[str, tuple[Example, ...]] = {}
        for text, vector in zip(queries, query_vectors, strict=True):
            # Rounded, so that another number of threads does not swap two candidates of equal similarity.
            order = np.argsort(-np.round(candidate_vectors @ vector, 4), kind="stable")
            words = normalize(text)
            best = list(islice((number for number in order if self.normalized[number] != words), shots))
            examples[text] = tuple(_make_example(self.candidates[number]) for number in reversed(best))
        return examples


def normalize(text: str) -> str:
    """Remove from a text what a retweet changes: case, links, punctuation, and the `RT @user` before it."""
    words = re.findall(r"@?\w+", re.sub(r"@\s+", "@", LINK.sub(" ", text.casefold())))
    while words and words[0] == "rt":
        has_user = len(words) > 1 and words[1].startswith("@")
        words = words[2:] if has_user else words[1:]
    return " ".join(word.lstrip("@") for word in words)


def _make_example(post: Post) -> Example:
    mentions: list[str] = []
    for span in post.gold or ():
        start, end = post.offsets[span.start][0], post.offsets[span.end - 1][1]
        mentions.append(f"{post.text[start:end]} ({TYPE_NAMES.get(span.type, span.type)})")
    return Example(post.text, ", ".join(mentions) or "none")


class TextVectors:
    """Encodes texts as unit vectors, the mean over an encoder's sub-tokens, and caches them in a file.

    Thousands of posts take minutes on a CPU: an interrupt loses at most `save_every` texts.
    """

    def __init__(self, encoder: str, root: Path, save_every: int = 1024) -> None:
        from ita_pipeline.ner.encoders import find_encoder

        self.encoder = find_encoder(encoder)
        self.save_every = save_every
        self.file = root / "similarity" / f"{hashlib.sha256(self.encoder.identity.encode()).hexdigest()[:16]}.npz"

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """The vectors of the texts in their order: (N, H), float32."""
        import numpy as np

        names = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        vectors = self._read_file()
        missing = {name: text for name, text in zip(names, texts, strict=True) if name not in vectors}
        for batch in batched(missing, self.save_every):
            vectors |= dict(zip(batch, self.compute([missing[name] for name in batch]), strict=True))
            self._write_file(vectors)
        return np.stack([vectors[name] for name in names])

    def _read_file(self) -> dict[str, np.ndarray[Any, Any]]:
        """The cached vectors; none if the file is damaged."""
        import numpy as np

        try:
            with np.load(self.file, allow_pickle=False) as content:
                return dict(zip(content["names"].tolist(), content["vectors"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}

    def _write_file(self, vectors: dict[str, np.ndarray[Any, Any]]) -> None:
        import numpy as np

        from ita_pipeline.core.files import open_atomically

        with suppress(OSError):  # the texts are encoded again next time
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(self.file) as file:
                np.savez(file, names=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))

    def compute(self, texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        """Compute the vectors of texts without the cache."""
        import torch

        from ita_pipeline.ner.encoders import load_encoder, max_row_length

        model, tokenizer = load_encoder(self.encoder)
        model.eval()
        max_length = min(MAX_SUBTOKENS, max_row_length(model, tokenizer))
        vectors: dict[int, np.ndarray[Any, Any]] = {}
        # Texts of similar length share a batch, so that little is padded.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for numbers in batched(order, BATCH_SIZE):
            batch = tokenizer(
                [texts[number] for number in numbers],
                padding=True,
                truncation=True,
                max_length=max_length,
                return_tensors="pt",
                verbose=False,
            )
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][:, :, None]
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            unit = torch.nn.functional.normalize(mean, dim=1).numpy()
            vectors |= zip(numbers, unit, strict=True)
        return [vectors[number] for number in range(len(texts))]
