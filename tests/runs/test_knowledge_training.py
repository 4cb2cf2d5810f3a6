"""Knowledge from a server through training, prediction and the report; and what the server is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.corpus.contexts import ContextConfig, ReservedContext, render
from ita_pipeline.corpus.posts import Post
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.views import ViewEncoder, allocate_subtokens
from ita_pipeline.runs.run import run_components
from ita_pipeline.runs.train import without_consent
from stages.external import TextValue, read_contexts
from stages.knowledge.schema import KnowledgeValue
from tests.support.chat_server import Asked, says, serving
from tests.support.fakes import ita_here
from tests.support.tiny_encoder import build_bert

NAMES = ("kim", "lou", "max", "zoe", "tim", "pia")


def dataset(folder: Path) -> dict[str, list[str]]:
    """Posts without pictures; the texts of each split."""
    folder.mkdir()
    texts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    lines = []
    for number in range(14):
        name, split = NAMES[number % 6], "dev" if number >= 12 else "test" if number >= 10 else "train"
        text = f"{split} {number} greets {name}"
        start = text.index(name)
        mention = {"start": start, "end": len(text), "type": ("PER", "LOC")[number % 2]}
        lines.append({"text": text, "id": str(number), "mentions": [mention], "split": split})
        texts[split].append(text)
    (folder / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return texts


def test_from_a_server_to_a_tagger_and_nothing_of_dev_or_test_or_of_the_posts_own_labels_is_told(
    tmp_path: Path,
) -> None:
    build_bert(tmp_path / "bert")
    texts = dataset(Path("mine"))
    with serving(lambda asked: says("<b>a name</b> & more " * 9)) as server:
        choice = (
            *("--set", f"knowledge.endpoint={server.url}", "--set", "knowledge.model=m"),
            *(
                "--set",
                "knowledge.shots=3",
                "--set",
                "knowledge.similarity=bert",
                "--set",
                "knowledge.consent=true",
            ),
            *("--preset", "bundled", "--encoder", "bert", "--set", "training.epochs=1"),
        )
        trained = ita_here("train", "--dataset", "mine", *choice, "--contexts", "knowledge")
        assert trained.code == 0, trained.err
        assert "sub-tokens of contexts found no room" in trained.err
        assert len(server.asked) == 14
        check_prompts(server.asked, texts)
        again = ita_here("train", "--dataset", "mine", *choice, "--contexts", "knowledge")
        assert "nothing to do" in again.err
        asked = len(server.asked)
        predicted = ita_here("predict", "mine", "--text", "test greets lou")
        assert predicted.code == 0, predicted.err
        assert "[text+image]" in predicted.out
        assert len(server.asked) == asked + 1
        check_prompts(server.asked[-1:], texts)
    (run,) = Path("runs/mine").iterdir()
    assert "consent" not in json.loads((run / "run.json").read_text())["stages"]["knowledge"]
    page = (run / "report.html").read_text()
    assert "a name" in page
    assert "<b>a name" not in page
    late = ita_here("predict", "mine", "--text", "nobody is there")
    assert late.code == 3
    assert "does not answer" in late.err


def check_prompts(asked: list[Asked], texts: dict[str, list[str]]) -> None:
    """The question comes last and without an answer; the examples before it are other posts for training."""
    for one in asked:
        tweets = re.findall(r"^Tweet: (.*)$", one.text, re.MULTILINE)
        *examples, question = tweets
        assert len(examples) == 3
        assert set(examples) <= set(texts["train"]) - {question}
        behind = one.text[one.text.rindex(f"Tweet: {question}") :]
        assert "Names:" not in behind
        assert one.text.count("Names:") == len(examples)


def test_knowledge_that_nobody_can_find_is_said_and_all_contexts_do_without(tmp_path: Path) -> None:
    build_bert(tmp_path / "bert")
    dataset(Path("mine"))
    choice = ("--dataset", "mine", "--preset", "bundled", "--encoder", "bert")
    missing = ita_here("train", *choice, "--contexts", "knowledge", "--dry-run")
    assert missing.code == 2
    assert "knowledge.endpoint" in missing.err
    assert ita_here("train", *choice, "--dry-run").code == 0


def test_imported_texts_are_knowledge_only_where_the_file_says_so() -> None:
    head = b'{"schema": "ita.contexts/1"}\n'
    old = read_contexts(head + b'{"image": "1", "texts": ["it rains"]}\n', Path("old.jsonl"))["1"]
    new = read_contexts(head + b'{"image": "1", "knowledge": ["it", "rains"]}\n', Path("new.jsonl"))["1"]
    config = ContextConfig()
    assert render(old.parts, config) == ("it rains",)
    assert not isinstance(render(old.parts, config)[0], ReservedContext)
    (found,) = render(new.parts, config)
    assert (found, isinstance(found, ReservedContext)) == ("it rains", True)
    own = KnowledgeValue(source="http", text="it rains")
    assert render({"knowledge": own, "extra": TextValue(texts=("x",))}, config) == ("x", "it rains")


lengths = st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 9)), max_size=5)


@settings(deadline=None)
@given(contexts=lengths, room=st.integers(-3, 40))
def test_a_reserved_context_is_cut_last_and_nothing_goes_beyond_the_room(
    contexts: list[tuple[int, int | None]], room: int
) -> None:
    found = [length for length, _ in contexts]
    texts = ["x" if most is None else ReservedContext("x", most) for _, most in contexts]
    kept = allocate_subtokens(texts, found, room)
    assert sum(part + 1 for part in kept if part) <= max(0, room) + 1
    for part, whole, text in zip(kept, found, texts, strict=True):
        assert 0 <= part <= whole
        assert not isinstance(text, ReservedContext) or part <= text.max_subtokens
    others = [part for part, text in zip(kept, texts, strict=True) if not isinstance(text, ReservedContext)]
    cut = [
        part < min(whole, text.max_subtokens)
        for part, whole, text in zip(kept, found, texts, strict=True)
        if isinstance(text, ReservedContext)
    ]
    assert not any(cut) or not any(others)


def test_the_room_of_knowledge_is_part_of_the_run_and_other_contexts_are_as_before(tmp_path: Path) -> None:
    from tests.support.tiny_encoder import load

    _, tokenizer = load(build_bert(tmp_path / "bert"))
    encoder = ViewEncoder(tokenizer, 20)
    view = encoder.encode(["ab"], ["cdefgh" * 3, ReservedContext("xyz", 4)])
    assert view.rows[0][-4:] == (*encoder.subtokens("xyz")[0], encoder.separator)
    assert len(view.rows[0]) == 20
    assert view.trimmed > 0
    post = Post("1", "ab", ("ab",), ((0, 2),), ())

    def key(text: str) -> object:
        return run_components({"train": [(post, (text,))]}, TrainingConfig(), "", ())["contexts"]

    assert key("x") != key(ReservedContext("x", 4)) != key(ReservedContext("x", 5))


def test_a_run_keeps_no_consent() -> None:
    assert without_consent({"knowledge": {"consent": True, "model": "m"}}) == {"knowledge": {"model": "m"}}
