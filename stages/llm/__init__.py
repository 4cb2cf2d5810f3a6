"""Clients of language models: OpenAI-compatible servers, and models on this machine.

Stages use `messages.ChatModel`; `client.ChatClient` and `local.LocalChat` implement it.
"""
