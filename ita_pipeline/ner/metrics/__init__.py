"""Scores, error analysis and significance tests.

May import `core` and `corpus`; computes with mentions and probabilities, and knows neither model nor run.
To add a metric, write a module here; `runs.train` stores it, and `reports` shows it.
"""
