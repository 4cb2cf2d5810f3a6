"""Training through the API: knowledge from a server, through prediction and the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

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


def test_prompts_contain_no_label_of_the_post_and_none_of_dev_or_test(
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
        assert "sub-tokens of contexts were cut, as contexts have the room that a post leaves of 64" in trained.err
        assert len(server.asked) == 14
        check_prompts(server.asked, texts)
        again = ita_here("train", "--dataset", "mine", *choice, "--contexts", "knowledge")
        assert "nothing to do" in again.err
        asked = len(server.asked)
        refused = ita_here("predict", "mine", "--text", "test greets lou")
        assert (refused.code, len(server.asked)) == (2, asked), refused.err
        assert ita_here("config", "trust", server.url).code == 0
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


def test_knowledge_without_an_endpoint_is_refused_by_name_and_left_out_of_all_contexts(tmp_path: Path) -> None:
    build_bert(tmp_path / "bert")
    dataset(Path("mine"))
    choice = ("--dataset", "mine", "--preset", "bundled", "--encoder", "bert")
    missing = ita_here("train", *choice, "--contexts", "knowledge", "--dry-run")
    assert missing.code == 2
    assert "knowledge.endpoint" in missing.err
    assert ita_here("train", *choice, "--dry-run").code == 0
