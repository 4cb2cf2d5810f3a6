"""Clients of language models: OpenAI-compatible servers, and models on this machine.

May import `stages.base` and `stages.models`; knows no stage.
To add a client, implement `messages.ChatModel`, as `client.ChatClient` and `local.LocalChat` do.
"""
