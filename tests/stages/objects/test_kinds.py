"""The names of kinds in `kinds.yaml`."""

from __future__ import annotations

from stages.objects.kinds import load_kinds
from stages.objects.vocabulary import COCO


def test_kinds_are_named_as_imagenet_names_them():
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    for names in load_kinds().values():
        for number, word in names.items():
            assert info.index_to_description(number).split(",")[0] == word


def test_kinds_are_what_their_labels_say():
    assert set(load_kinds()) <= {*COCO, "bear"}
    assert all(label not in names.values() for label, names in load_kinds().items())
    assert set(load_kinds()["bus"].values()) == {"minibus", "school bus", "trolleybus"}
    assert {"beagle", "Great Dane", "Mexican hairless"} <= set(load_kinds()["dog"].values())
    assert "timber wolf" not in load_kinds()["dog"].values()
    assert "person" not in load_kinds()
