"""Datasets for other projects: what is written is what they read, and comes back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.corpus.test_importing import read, texts, twitter
from tests.support.fakes import ita_here


def test_a_dataset_goes_to_kb_ner_and_comes_back():
    dataset = twitter()
    Path("captions.txt").write_text("11.jpg :a dog\n12.jpg :<EOS> is  a word\n")
    common = ("--preset", "bundled", "--contexts", "caption", "--captions", "captions.txt")
    answer = ita_here("data", "export", "twitter15", "--to", "kb", *common)
    assert answer.code == 0, answer.err
    assert "3 of 9 posts have no context" in answer.err
    assert Path("kb/twitter15/train.txt").read_text() == "Ada B-MISC\nspoke O\n\nBo O\n\nlast O\n\n"
    with_contexts = Path("kb/twitter15_doc/train.txt").read_text()
    assert with_contexts.startswith(
        "Ada B-MISC\nspoke O\n<EOS> B-X\na B-X\ndog B-X\n\nBo O\n<EOS> B-X\nEOS B-X\nis B-X\n"
    )
    assert Path("kb/img/train.txt").read_text() == "11\n12\n13\n"
    back = ita_here("data", "import", "kb", "--to", "back")
    assert back.code == 0, back.err
    again = read("back")
    assert again.splits["test"] == tuple(
        replace(post, picture=None, text=post.text) for post in dataset.splits["test"]
    )
    assert texts("back") == {"11": ("a dog",), "12": ("EOS is a word",)}


def test_a_dataset_goes_to_adaseq():
    twitter()
    options = ("--preset", "bundled", "--contexts", "none", "--form", "adaseq")
    answer = ita_here("data", "export", "twitter15", "--to", "ada", *options)
    assert answer.out.splitlines() == ["ada/train.txt", "ada/dev.txt", "ada/test.txt"]
    assert Path("ada/dev.txt").read_text() == "Ada B-MISC\nspoke O\n\nBo O\n\nlast O\n\n"
    assert ita_here("data", "export", "twitter15", "--to", "ada", *options).code == 2


def test_contexts_of_other_programs_reach_the_posts():
    twitter()
    thing = {"rect": [0, 0, 9, 9], "class": "dog", "conf": 0.9, "attributes": ["brown"], "attr_scores": [0.9]}
    Path("predictions.tsv").write_text(f"11\t{json.dumps({'objects': [thing]})}\n")
    Path("captions.tsv").write_text('12\t[{"caption": "two cats", "conf": 0.5}]\n')
    answer = ita_here("data", "import-contexts", "predictions.tsv", "captions.tsv")
    assert (answer.code, answer.out) == (0, "contexts.jsonl: objects of 1, captions of 1 pictures\n")
    options = ("--preset", "bundled", "--captions", "contexts.jsonl")
    exported = ita_here("data", "export", "twitter15", "--to", "kb", *options)
    assert exported.code == 0, exported.err
    content = Path("kb/twitter15_doc/train.txt").read_text()
    assert "<EOS> B-X\nbrown B-X\ndog B-X\n" in content
    assert "<EOS> B-X\ntwo B-X\ncats B-X\n" in content
    assert ita_here("data", "import-contexts", "captions.tsv").code == 2
