"""The stage `knowledge`: what a language model knows about a post (PGIM)."""

from stages.knowledge.stage import KnowledgeConfig, KnowledgeStage, KnowledgeValue

__all__ = ["KnowledgeConfig", "KnowledgeStage", "KnowledgeValue"]
