"""Which of ImageNet's thousand classes are kinds of which COCO class: a beagle is a dog, a barrel is no person.

Asked freely, the classifier names whatever else is in the crop ("broccoli" for the girl who holds it). Written out
by hand after WordNet's hyponyms, with the class numbers of ImageNet-1k. A class that only repeats the detector's
word ("pizza"), or is the only kind there is ("sorrel" for every horse), says nothing and is left out. So are the
three kinds of people (ballplayer, groom, scuba diver): most crops are of people, and hardly any is one of them.
"""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, tuple[int, ...]] = {
    # mountain bike, tandem
    "bicycle": (671, 444),
    # beach wagon, cab, convertible, jeep, limousine, minivan, Model T, racer, sports car, police van, ambulance
    "car": (436, 468, 511, 609, 627, 656, 661, 751, 817, 734, 407),
    # moped, motor scooter
    "motorcycle": (665, 670),
    # airliner, warplane
    "airplane": (404, 895),
    # minibus, school bus, trolleybus
    "bus": (654, 779, 874),
    # bullet train, electric and steam locomotive, freight and passenger car, streetcar
    "train": (466, 547, 820, 565, 705, 829),
    # fire engine, garbage truck, pickup, snowplow, tow truck, trailer truck, moving van, police van, ambulance
    "truck": (555, 569, 717, 803, 864, 867, 675, 734, 407),
    # aircraft carrier, canoe, catamaran, container ship, fireboat, gondola, lifeboat, liner, pirate ship, schooner,
    # speedboat, trimaran, yawl
    "boat": (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "bench": (703,),  # park bench
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "cat": tuple(range(281, 286)),
    "dog": tuple(range(151, 269)),
    # ram, bighorn
    "sheep": (348, 349),
    # ox, water buffalo, bison
    "cow": (345, 346, 347),
    # tusker, Indian, African
    "elephant": (101, 385, 386),
    "bear": tuple(range(294, 298)),
    # bolo tie, bow tie, Windsor tie
    "tie": (451, 457, 906),
    # baseball, basketball, croquet, golf, ping-pong, rugby, soccer, tennis, volleyball
    "sports ball": (429, 430, 522, 574, 722, 768, 805, 852, 890),
    # beer, pill, pop, water and wine bottle
    "bottle": (440, 720, 737, 898, 907),
    # beer glass, coffee mug, espresso, measuring cup
    "cup": (441, 504, 967, 647),
    "knife": (499,),  # cleaver
    "spoon": (910,),  # wooden
    # mixing bowl, soup bowl
    "bowl": (659, 809),
    "apple": (948,),  # Granny Smith
    "sandwich": (933,),  # cheeseburger
    # barber, folding and rocking chair, throne
    "chair": (423, 559, 765, 857),
    "couch": (831,),  # studio couch
    # bassinet, cradle, crib, four-poster
    "bed": (431, 516, 520, 564),
    "book": (917,),  # comic book
    # analog, digital and wall clock
    "clock": (409, 530, 892),
}
# No dog is green, but the lawn under it is.
ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "teddy bear")
)
FUR = frozenset(("black", "white", "brown", "grey"))
