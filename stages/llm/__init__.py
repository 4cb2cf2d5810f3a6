"""Clients of language models: OpenAI-compatible servers, and models on this machine."""
