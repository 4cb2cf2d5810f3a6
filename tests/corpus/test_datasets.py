"""Dataset cards, and folders that are datasets by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.core.config import config_files, parse_config, read_yaml
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.datasets import DatasetCard, load_dataset
from tests.support.fakes import draw

CONLL = "IMGID:{}\nAda\tB-OTHER\nspoke\tO\n\n"


def twitter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(["train.txt", "valid.txt", "test.txt"]):
        (folder / name).write_text(CONLL.format(number))
    draw(folder / "images" / "0.jpg")
    return folder


@pytest.mark.parametrize("place", ["data", "elsewhere", "elsewhere/twitter15"])
def test_files_are_found_in_the_workspace_or_in_the_given_folder(place: str):
    folder = twitter(
        Path(place) if "15" in place else Path(place) / "twitter15" if place == "data" else Path(place)
    )
    data = None if place == "data" else Path("elsewhere")
    dataset = load_dataset("twitter15", data, Path("data"))
    assert {name: len(posts) for name, posts in dataset.splits.items()} == {"train": 1, "dev": 1, "test": 1}
    assert dataset.splits["train"][0].picture == folder / "images" / "0.jpg"
    assert dataset.splits["dev"][0].picture is None
    assert dataset.splits["dev"][0].image_id == "1"
    assert dataset.splits["train"][0].gold[0].type == "MISC"
    assert dataset.captions is None
    (folder / "captions_blip2.txt").write_text("0.jpg :x")
    assert load_dataset("twitter15", data, Path("data")).captions == folder / "captions_blip2.txt"


def test_a_missing_dataset_says_which_files_and_where_to_get_them():
    with pytest.raises(MissingError, match=r"train\.txt.*data/snap") as caught:
        load_dataset("snap", None, Path("data"))
    assert "P18-1185" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_missing_split_is_named():
    (twitter(Path("data/twitter17")) / "test.txt").unlink()
    with pytest.raises(MissingError, match=r"twitter17/test\.txt is missing"):
        load_dataset("twitter17", None, Path("data"))


def test_a_misspelt_dataset_gets_the_nearest():
    with pytest.raises(MissingError, match="no dataset snpa") as caught:
        load_dataset("snpa", None, Path("data"))
    assert "snap" in caught.value.hint


def lines(folder: Path, *posts: dict[str, object], name: str = "tweets.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(post) for post in posts))
    return folder


def test_a_folder_with_posts_is_a_dataset():
    folder = lines(
        Path("mine"),
        {"text": "a", "split": "train", "image": "x.jpg"},
        {"text": "b", "split": "validation"},
        {"text": "c", "split": "test", "image": "gone.jpg"},
    )
    draw(folder / "x.jpg")
    dataset = load_dataset("mine", None, Path("data"))
    assert dataset.name == "mine"
    assert [post.text for post in dataset.posts] == ["a", "b", "c"]
    assert [post.picture for post in dataset.posts] == [folder / "x.jpg", None, None]
    assert dataset.notes == ()


def test_posts_without_a_split_are_divided_by_id_with_a_note():
    lines(Path("mine"), *({"text": str(n), "id": f"post-{n}"} for n in range(200)))
    dataset = load_dataset("mine", None, Path("data"))
    sizes = {name: len(posts) for name, posts in dataset.splits.items()}
    assert 140 < sizes["train"] < 180
    assert min(sizes["dev"], sizes["test"]) > 5
    assert "200 posts without a split" in dataset.notes[0]
    lines(Path("mine"), *({"text": str(n), "id": f"post-{n}"} for n in range(300)))
    more = load_dataset("mine", None, Path("data"))
    assert {post.id for post in dataset.splits["dev"]} <= {post.id for post in more.splits["dev"]}


def test_an_empty_folder_is_refused_with_what_to_write():
    Path("mine").mkdir()
    with pytest.raises(MissingError, match=r"tweets\.jsonl") as caught:
        load_dataset("mine", None, Path("data"))
    assert "mentions" in caught.value.hint


@pytest.mark.parametrize("name", sorted(config_files("datasets")))
def test_every_card_has_a_source_a_licence_and_experiments(name: str):
    card = parse_config(DatasetCard, read_yaml(config_files("datasets")[name]), name)
    assert card.source
    assert card.licence
    assert {f"{card.experiment}-paper", f"{card.experiment}-bundled"} <= set(config_files("experiments"))


def test_the_example_has_posts_each_with_its_picture():
    dataset = load_dataset("example", None, Path("data"))
    assert {name: len(posts) for name, posts in dataset.splits.items()} == {"train": 136, "dev": 40, "test": 64}
    assert all(post.picture is not None for post in dataset.posts)
    assert len({post.picture for post in dataset.posts}) == 240
    assert dataset.notes == ()


def test_a_smaller_number_of_train_posts_is_part_of_a_larger_one():
    dataset = load_dataset("example", None, Path("data"))
    small, large = (dataset.with_train_posts(count) for count in (10, 100))
    assert len(small.splits["train"]) == 10
    assert set(small.splits["train"]) < set(large.splits["train"]) < set(dataset.splits["train"])
    assert small.splits["test"] == dataset.splits["test"]
    assert dataset.with_train_posts(136) == dataset
    with pytest.raises(UsageError, match="has 136 train posts, not 137"):
        dataset.with_train_posts(137)


def test_a_folder_of_conll_files_is_a_dataset():
    folder = Path("mine")
    folder.mkdir()
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text(CONLL.format(name))
    draw(folder / "images" / "train.png")
    dataset = load_dataset("mine", None, Path("data"))
    assert {split: len(posts) for split, posts in dataset.splits.items()} == {"train": 1, "dev": 1, "test": 1}
    assert dataset.splits["train"][0].picture == folder / "images" / "train.png"
    (folder / "test.txt").unlink()
    with pytest.raises(MissingError, match=r"mine/test\.txt is missing"):
        load_dataset("mine", None, Path("data"))


def test_the_language_of_a_card_closes_up_words_and_an_unknown_one_is_noted():
    folder = Path("mine")
    folder.mkdir()
    (folder / "train.txt").write_text("小\tB-ORG\n米\tI-ORG\n好\tO\n")
    for language, text, notes in [
        ("zh", "小米好", 0),
        ("", "小 米 好", 0),
        ("de", "小 米 好", 0),
        ("tlh", "小 米 好", 1),
    ]:
        card = Path("card.yaml")
        card.write_text(f"about: mine\nlanguage: '{language}'\nfiles: {{train: [train.txt]}}\n")
        dataset = load_dataset("card.yaml", folder, Path("data"))
        (post,) = dataset.posts
        assert (post.text, post.words, len(dataset.notes)) == (text, tuple("小米好"), notes)
    assert dataset.notes[0].endswith("there are no words in tlh, only in de, en, ja, zh")
