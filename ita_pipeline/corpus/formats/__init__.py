"""Formats of posts and contexts, a module each."""
