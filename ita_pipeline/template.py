"""The file that `ita init` writes: every setting is a comment, so that it changes nothing until a person does."""

TEMPLATE = """\
# Settings of ita-pipeline for this folder. Everything here is a comment: take away a "# " and change the value.
#
# What goes over what: a flag, --set, the environment (ITA_PRESET, ITA_OCR__PAGE_MODE), this file, your own file
# (~/.config/ita/config.yaml), the preset or experiment, the default.
# ita config show --origin says where each value is from.

# Models: bundled needs no hub, paper is the one for results, auto takes paper where it can. Or a YAML file.
# preset: bundled

# Where datasets lie, and where .ita/ and runs/ are kept.
# data: data
# workspace: .

# Text encoder: minilm, a model of the hub, or a folder.
# encoder: FacebookAI/xlm-roberta-large

# Languages of the words in the pictures; each has a package of Tesseract.
# ocr:
#   languages: eng+deu
#   page_mode: lines

# What of a picture is appended to its post. None of these runs a stage again.
# contexts:
#   order: [objects, caption, ocr, extra]
#   object_score: 0.3
#   objects: 8
#   captions: 1
#   word_confidence: 0.6
#   words: 100

# What one picture may take before it fails alone.
# limits:
#   megabytes: 25
#   megapixels: 40
#   seconds: 300
#   memory_megabytes: 4096

# Training, over the experiment of the dataset.
# training:
#   epochs: 10
#   seed: 1
"""
