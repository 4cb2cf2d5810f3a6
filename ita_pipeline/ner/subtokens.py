"""Sub-tokens of words, by the library `tokenizers` alone, since importing `transformers` takes seconds.

The ids are those that a fast tokenizer of `transformers` returns, which calls the same library.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ita_pipeline.core.files import open_regular
from stages.base import StageError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# A row begins with the first of these tokens that a tokenizer has, and a separator is the first of the others.
START_TOKENS, SEPARATOR_TOKENS = ("cls_token", "bos_token"), ("sep_token", "eos_token")

MAX_TOKENIZER_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class SubTokenizer:
    """Divides words into sub-tokens. `start`, `separator` and `pad` are the ids of [CLS], [SEP] and [PAD]."""

    backend: Tokenizer
    start: int
    separator: int
    pad: int

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """Take the sub-tokens of a fast tokenizer of `transformers`.

        Raises:
            ValueError: the tokenizer is not fast, or lacks one of the three tokens.
        """
        tokens = {name: getattr(tokenizer, name, None) for name in (*START_TOKENS, *SEPARATOR_TOKENS, "pad_token")}
        if not tokenizer.is_fast:
            raise ValueError("the tokenizer is not fast")
        return cls._with_tokens(tokenizer.backend_tokenizer, tokens)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `tokenizer.json` and the names of the tokens in `tokenizer_config.json`.

        Raises:
            StageError: a file cannot be read, or lacks one of the three tokens.
        """
        from tokenizers import Tokenizer

        try:
            names = json.loads(_read(folder / "tokenizer_config.json"))
            with _report_panics():
                return cls._with_tokens(Tokenizer.from_buffer(_read(folder / "tokenizer.json")), names)
        except OSError as error:
            raise StageError(f"{error.filename} cannot be read: {error.strerror}") from error
        except KeyError as error:
            raise StageError(f"the tokenizer in {folder} has no {error.args[0]}") from error
        except Exception as error:  # `tokenizers` raises nothing more specific
            raise StageError(f"the files of the tokenizer in {folder} are damaged") from error

    @classmethod
    def _with_tokens(cls, backend: Tokenizer, names: Any) -> Self:
        def find(*roles: str) -> int:
            for role in roles:
                name: Any = names.get(role)
                number = backend.token_to_id(str(name["content"] if isinstance(name, dict) else name))
                if name is not None and number is not None:
                    return number
            raise KeyError(roles[0])

        backend.no_truncation()
        backend.no_padding()
        return cls(backend, find(*START_TOKENS), find(*SEPARATOR_TOKENS), find("pad_token"))

    def encode_words(self, words: Sequence[str]) -> Encoding:
        """Sub-tokens of words, without special tokens.

        Raises:
            StageError: the tokenizer fails.
        """
        with _report_panics():
            return self.backend.encode(list(words), is_pretokenized=True, add_special_tokens=False)

    def encode_text(self, text: str) -> Encoding:
        """Sub-tokens of a text, without special tokens.

        Raises:
            StageError: the tokenizer fails.
        """
        with _report_panics():
            return self.backend.encode(text, add_special_tokens=False)


@contextmanager
def _report_panics() -> Generator[None]:
    """Turn a panic of the library, which is no `Exception`, into an error."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        message = f"the model's tokenizer failed: {' '.join(str(error).split())[:200]}"
        raise StageError(message, "its tokenizer.json is damaged, or not made for this text") from error


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        content = file.read(MAX_TOKENIZER_BYTES + 1)
    if len(content) > MAX_TOKENIZER_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_TOKENIZER_BYTES} bytes")
    return content
