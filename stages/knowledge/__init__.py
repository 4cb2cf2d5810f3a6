"""The stage `knowledge`: what a language model knows about a post (PGIM).

May import `stages.llm` and the values of the stages that its prompts read.
To add a prompt, write a YAML file in `prompts/`; to add a setting, start at `schema`.
"""

from stages.knowledge.schema import KnowledgeConfig, KnowledgeValue
from stages.knowledge.stage import KnowledgeStage

__all__ = ["KnowledgeConfig", "KnowledgeStage", "KnowledgeValue"]
