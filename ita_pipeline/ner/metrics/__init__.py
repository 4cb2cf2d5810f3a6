"""Scores, error analysis and significance tests."""
