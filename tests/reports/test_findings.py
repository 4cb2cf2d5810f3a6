"""Tests of the findings: what was appended, what failed or is waiting, and values shown as JSON."""

from __future__ import annotations

from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.reports.findings import collect_findings
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeValue
from tests.support.report_site import caption, objects, words


def test_appended_findings_are_marked():
    findings = collect_findings(
        {"objects": objects("person", "car"), "ocr": words("KIM", "|"), "caption": caption("one", "two")},
        ContextConfig(object_score=0.35, objects=1, captions=1),
        ("objects", "ocr", "caption"),
    )
    assert [(finding.label, finding.tag, finding.used) for finding in findings.objects] == [
        ("person", "red person", True),
        ("car", "red car", False),
        ("kite", "", False),
    ]
    assert [(finding.text, finding.used) for finding in findings.words] == [("KIM", True), ("|", False)]
    assert [(finding.text, finding.used) for finding in findings.captions] == [("one", True), ("two", False)]
    assert (findings.width, findings.height, findings.waiting, findings.failed) == (64, 48, (), ())


def test_no_more_words_than_configured_are_marked_even_if_they_are_equal():
    findings = collect_findings({"ocr": words("KIM", "|", "KIM", "KIM")}, ContextConfig(words=2), ("ocr",))
    assert [finding.used for finding in findings.words] == [True, False, True, False]


def test_a_context_that_the_run_does_not_read_is_not_appended():
    config = ContextConfig(order=("ocr",))
    findings = collect_findings({"objects": objects("person"), "caption": caption("one")}, config, ())
    assert not any(finding.used for finding in (*findings.objects, *findings.captions))


def test_failed_and_waiting_stages_are_distinguished():
    failure = Failure(kind=FailureKind.PERMANENT, reason="damaged")
    findings = collect_findings({"objects": failure}, ContextConfig(), ("ocr",))
    assert [(failed.stage, failed.reason) for failed in findings.failed] == [("objects", "damaged")]
    assert findings.waiting == ()
    assert collect_findings({"objects": objects()}, ContextConfig(), ("objects", "ocr")).waiting == ("ocr",)


def test_the_value_of_a_plugin_stage_is_shown_as_json():
    findings = collect_findings({"size": SizeValue(width=3, height=4)}, ContextConfig(), ("size",))
    assert findings.others == {"size": '{"width": 3, "height": 4}'}
