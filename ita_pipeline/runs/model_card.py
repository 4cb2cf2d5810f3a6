"""The README of an exported model: what it is, what it scored, what it was made from, and where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from ita_pipeline.runs.run import RunRecord, RunScores

METHOD = "https://aclanthology.org/2022.naacl-main.232"

SHORT = 12


def card(record: RunRecord, scores: RunScores) -> str:
    """Markdown with the header that model hubs read."""
    header = yaml.safe_dump(front_matter(record, scores), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n".join(body(record, scores))


def front_matter(record: RunRecord, scores: RunScores) -> dict[str, Any]:
    test = scores.splits["test"]
    metrics = [
        {"type": "f1", "name": f"F1, {view}", "value": round(found.micro.f1, 4)}
        for view, found in (("text", test.text), ("text and picture", test.text_and_image))
    ]
    task = {"type": "token-classification", "name": "named entity recognition"}
    data = {"name": record.dataset, "type": record.dataset, "split": "test"}
    header: dict[str, Any] = {
        "library_name": "ita-pipeline",
        "pipeline_tag": "token-classification",
        "tags": ["named-entity-recognition", "multimodal", "tweets", "crf"],
    }
    if "/" in record.encoder and not record.encoder.startswith((".", "/", "~")):
        header["base_model"] = record.encoder.partition("@")[0]
    results = [{"task": task, "dataset": data, "metrics": metrics}]
    return {**header, "model-index": [{"name": f"{record.dataset} {record.key[:SHORT]}", "results": results}]}


def body(record: RunRecord, scores: RunScores) -> Iterator[str]:
    yield f"# Named entities in tweets, trained on {cell(record.dataset)}\n"
    types = ", ".join(cell(name) for name in record.types)
    yield f"Finds mentions of {types} in posts, with or without their pictures. The picture is read as text"
    yield f"(captions, objects, words), after ITA ([Wang et al., NAACL 2022]({METHOD})).\n"
    yield "## Use\n"
    yield '```python\nimport ita_pipeline as ita\n\ntagger = ita.load("this-folder")'
    yield 'tagger.predict("Big night for Ashby", image="sign.jpg").mentions\n```\n'
    yield "`ita predict this-folder posts.jsonl --json` does the same from the command line. The weights are"
    yield "safetensors; no code in this folder is ever run.\n"
    yield from score_section(scores)
    yield from origin_section(record)
    yield from limit_section(record)


def score_section(scores: RunScores) -> Iterator[str]:
    yield "## Scores\n"
    yield "Exact span and type, in percent. T reads the text alone, I+T the text and what the stages found in"
    yield "the picture; one set of weights serves both. An I- tag that continues no mention counts as the start"
    yield "of one.\n"
    rows = []
    for name, split in scores.splits.items():
        for view, found in (("T", split.text), ("I+T", split.text_and_image)):
            micro = found.micro
            numbers = (micro.precision, micro.recall, micro.f1, found.macro_f1)
            rows.append([f"{cell(name)} {view}", *map(percent, numbers), str(micro.support)])
    yield from table(["", "P", "R", "F1", "macro F1", "mentions"], rows)
    test = scores.splits["test"]
    rows = []
    for name in sorted(test.text.types):
        text, both = test.text.types[name], test.text_and_image.types.get(name)
        other = [percent(n) for n in (both.precision, both.recall, both.f1)] if both else ["–"] * 3
        numbers = [percent(n) for n in (text.precision, text.recall, text.f1)]
        rows.append([cell(name), *numbers, *other, str(text.support)])
    yield "Test, by type:\n"
    yield from table(["", "T: P", "R", "F1", "I+T: P", "R", "F1", "mentions"], rows)


def origin_section(record: RunRecord) -> Iterator[str]:
    yield "## What it was made from\n"
    components = record.components
    rows = [
        [f"posts of {cell(split)}", f"{count}, sentences `{short(components, 'sentences', split)}`, "
         f"contexts `{short(components, 'contexts', split)}`"]
        for split, count in record.posts.items()
    ]  # fmt: skip
    rows += [
        ["posts with contexts", str(record.with_context)],
        ["encoder", f"{cell(record.encoder)}, `{cell(record.encoder_identity)}`"],
        ["word shapes", "shown to the encoder" if record.word_shapes else "not used"],
        ["seed", str(record.training.seed)],
        ["best epoch", f"{record.best_epoch} of {record.training.epochs}, by the mean of both views' dev F1"],
        ["run", f"`{record.key}`"],
        *([f"stage {cell(name)}", f"`{key}`"] for name, key in record.stage_keys.items()),
    ]
    if record.captions:
        rows.append(["contexts made elsewhere", f"`{cell(record.captions)}`"])
    yield from table(["", ""], rows)
    yield "Digests are sha256 of the words, labels and rendered contexts. Training settings:\n"
    yield f"```yaml\n{yaml.safe_dump(record.training.model_dump(mode='json'), sort_keys=False)}```\n"


def short(components: Any, part: str, split: str) -> str:
    return str(components.get(part, {}).get(split, "unknown"))[:SHORT]


def limit_section(record: RunRecord) -> Iterator[str]:
    yield "## Limits\n"
    yield f"- It knows the types and the language of its data, {cell(record.dataset)}, and nothing else."
    yield "- The scores are of one seed; another gives others."
    longest = record.training.max_length
    trimmed, vanished = record.trimmed_subtokens, record.vanished_words
    yield f"- A post longer than {longest} sub-tokens is read in windows; contexts are cut where room ends"
    yield f"  ({trimmed} sub-tokens in its data). {vanished} words of its data vanish in tokenisation and are read"
    yield "  as a zero vector."
    settings = [pair for stage in record.stages.values() for pair in stage.items()]
    models = sorted({str(value) for name, value in settings if name in MODELS})
    if models:
        yield f"- Pictures are read by {', '.join(cell(name) for name in models)}; with other models the contexts"
        yield "  differ from those of training, which `ita predict` says."
    if record.captions:
        yield "- It was trained with contexts that were made elsewhere; those computed at prediction are others."
    yield "- Its posts and pictures are not in this folder. What their licence asks may hold for the weights too;"
    yield "  no licence is stated here, so state one before you publish it.\n"


MODELS = ("model", "detector", "attributes")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def cell(text: str) -> str:
    """Text that is nothing but text in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))
