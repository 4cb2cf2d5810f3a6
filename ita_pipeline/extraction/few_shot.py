"""Few-shot examples for a prompt: labeled training posts, selected by similarity as in PGIM.

Only training posts are candidates, and a post is never an example for itself or for a post of the same words.
(Li et al., Prompting ChatGPT in MNER, Findings of EMNLP 2023, section 3.2; that paper compares texts and pictures,
this module compares texts.)
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ita_pipeline.core.files import open_atomically
from ita_pipeline.corpus.posts import Post
from ita_pipeline.ner.encoders import EncoderRef, find_encoder, load_encoder, max_row_length
from stages.base import Example
from stages.batching import batched
from stages.languages import load_words

if TYPE_CHECKING:
    import numpy as np

Vectors: TypeAlias = "np.ndarray[Any, Any]"

Compute: TypeAlias = Callable[[EncoderRef, Sequence[str]], Sequence[Vectors]]

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


def select_examples(
    texts: Sequence[str],
    train: Sequence[Post],
    shots: int,
    encode: Callable[[Sequence[str]], Vectors],
    language: str = "",
) -> dict[str, tuple[Example, ...]]:
    """The most similar training posts with gold mentions for each text, at most `shots`.

    The most similar one is the last, next to the question. `encode` returns the unit vectors of texts, such as
    `encode_texts`. `language` is that of the names of types.
    """
    import numpy as np

    candidates = list({post.text: post for post in train if post.gold is not None}.values())
    if not candidates or not texts:
        return {}
    queries = list(dict.fromkeys(texts))
    vectors = encode([*queries, *(post.text for post in candidates)])
    query_vectors, candidate_vectors = vectors[: len(queries)], vectors[len(queries) :]
    normalized = [normalize(post.text) for post in candidates]
    examples: dict[str, tuple[Example, ...]] = {}
    for text, vector in zip(queries, query_vectors, strict=True):
        # Rounded, so that another number of threads does not swap two candidates of equal similarity.
        order = np.argsort(-np.round(candidate_vectors @ vector, 4), kind="stable")
        words = normalize(text)
        best = list(islice((number for number in order if normalized[number] != words), shots))
        examples[text] = tuple(_make_example(candidates[number], language) for number in reversed(best))
    return examples


def normalize(text: str) -> str:
    """Remove from a text what a retweet changes: case, links, punctuation, and the `RT @user` before it."""
    words = re.findall(r"@?\w+", re.sub(r"@\s+", "@", LINK.sub(" ", text.casefold())))
    while words and words[0] == "rt":
        has_user = len(words) > 1 and words[1].startswith("@")
        words = words[2:] if has_user else words[1:]
    return " ".join(word.lstrip("@") for word in words)


def _make_example(post: Post, language: str) -> Example:
    words = load_words(language)
    names = {**TYPE_NAMES, **words.types} if words else TYPE_NAMES
    mentions: list[str] = []
    for span in post.gold or ():
        start, end = post.offsets[span.start][0], post.offsets[span.end - 1][1]
        mentions.append(f"{post.text[start:end]} ({names.get(span.type, span.type)})")
    return Example(post.text, ", ".join(mentions) or (words.no_names if words else "none"))


def compute_vectors(encoder: EncoderRef, texts: Sequence[str]) -> list[Vectors]:
    """Encode texts as unit vectors, the mean over an encoder's sub-tokens, without the cache."""
    import torch

    model, tokenizer = load_encoder(encoder)
    model.eval()
    max_length = min(MAX_SUBTOKENS, max_row_length(model, tokenizer))
    vectors: dict[int, Vectors] = {}
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


def encode_texts(
    encoder: str, root: Path, texts: Sequence[str], compute: Compute = compute_vectors, save_every: int = 1024
) -> Vectors:
    """The unit vectors of texts by a text encoder, in their order: (N, H), float32.

    Vectors are cached below `root`. Thousands of posts take minutes on a CPU: an interrupt loses at most
    `save_every` texts.

    Raises:
        StageError: the encoder is missing.
    """
    import numpy as np

    model = find_encoder(encoder)
    file = root / "similarity" / f"{hashlib.sha256(model.identity.encode()).hexdigest()[:16]}.npz"
    vectors = _read_vectors(file)
    names = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
    missing = {name: text for name, text in zip(names, texts, strict=True) if name not in vectors}
    for batch in batched(missing, save_every):
        computed = compute(model, [missing[name] for name in batch])
        vectors |= dict(zip(batch, computed, strict=True))
        _write_vectors(file, vectors)
    return np.stack([vectors[name] for name in names])


def _read_vectors(file: Path) -> dict[str, Vectors]:
    """The cached vectors; none if the file is damaged."""
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as content:
            return dict(zip(content["names"].tolist(), content["vectors"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write_vectors(path: Path, vectors: Mapping[str, Vectors]) -> None:
    import numpy as np

    with suppress(OSError):  # the texts are encoded again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(path) as file:
            np.savez(file, names=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
