"""Words in other languages: sentences, tags, and files that have what they need."""

from __future__ import annotations

import pytest

from stages.caption.schema import CHAT_PROMPT, CaptionConfig
from stages.caption.stage import CaptionStage
from stages.caption.template import build_sentence
from stages.knowledge.prompt import list_bundled_prompts, load_prompt
from stages.languages import find_language, list_languages, load_words
from stages.objects.vocabulary import read_vocabulary
from tests.support.stages_fixtures import thing

THINGS = [thing("person"), thing("bus", attribute="red"), thing("person"), thing("car", attribute="cab")]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("", "a picture of two people, a red bus and a cab car"),
        ("zh", "图片里有两个人、一辆红色公交车和一辆出租车"),
        ("ja", "2人の人、赤いバスとタクシーの写真"),
        ("de", "Auf dem Bild: zwei Personen, ein roter Bus und ein Taxi"),
    ],
)
def test_a_sentence_is_in_the_language_of_the_settings(language: str, said: str):
    assert build_sentence(THINGS, language) == said


def test_a_single_thing_many_things_and_things_without_a_word():
    assert build_sentence([thing("dog")], "zh") == "图片里有一只狗"
    assert build_sentence([thing("dog")] * 7, "de") == "Auf dem Bild: viele Hunde"
    assert build_sentence([thing("Zeppelin", attribute="red")], "zh") == "图片里有一个红色Zeppelin"
    german, chinese = load_words("de"), load_words("zh")
    assert german is not None
    assert chinese is not None
    assert [german.name("cup", ["red"]), german.name("car", ["red"])] == ["rote Tasse", "rotes Auto"]
    assert chinese.name("dog", ["beagle"]) == "beagle 狗"
    assert chinese.name("sports ball", ["soccer ball"]) == "足球"


def test_a_language_tag_finds_its_language():
    assert list_languages() == ["de", "en", "ja", "zh"]
    assert [find_language(tag) for tag in ("zh", "zh-Hans-CN", "ja_JP", "DE", "ko", "")] == [
        "zh",
        "zh",
        "ja",
        "de",
        None,
        None,
    ]
    assert load_words("en") is None
    with pytest.raises(ValueError, match="no words in ko; known are de, en, ja, zh"):
        CaptionConfig(language="ko")


@pytest.mark.parametrize("language", ["de", "ja", "zh"])
def test_every_language_has_each_class_of_the_detector_and_each_prompt(language: str):
    words = load_words(language)
    assert words is not None
    assert not set(read_vocabulary("coco")) - words.nouns.keys()
    for name in ("tweet", "short"):
        assert load_prompt(name, language) == load_prompt(f"{name}.{language}") != load_prompt(name)
    assert load_prompt("tweet", "zh-TW") == load_prompt("tweet.zh")


def test_english_keeps_its_keys_and_another_language_has_its_own():
    def parameters(**settings: object) -> dict[str, object]:
        return CaptionStage(CaptionConfig(**settings)).parameters()

    served = {"endpoint": "http://localhost/v1", "model": "x"}
    assert parameters() == parameters(language="en") == {"kind": "template", "template_floor": 0.4}
    assert parameters(language="zh") == parameters(language="zh-CN") != parameters(language="ja")
    assert parameters(**served)["prompt"] == CHAT_PROMPT
    assert parameters(**served, language="de")["prompt"] == "Beschreibe dieses Bild in einem kurzen deutschen Satz."
    assert parameters(**served, language="de", prompt="Was?")["prompt"] == "Was?"
    assert set(list_bundled_prompts()) >= {"tweet.zh", "short.de"}
