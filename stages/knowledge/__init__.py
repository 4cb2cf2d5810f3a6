"""The stage `knowledge`: what a language model knows about a post (PGIM)."""

from stages.knowledge.schema import KnowledgeConfig, KnowledgeValue
from stages.knowledge.stage import KnowledgeStage

__all__ = ["KnowledgeConfig", "KnowledgeStage", "KnowledgeValue"]
