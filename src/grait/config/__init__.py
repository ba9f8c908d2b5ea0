"""The config: one YAML file, one tree, everything checked before a model loads.

``schema`` has the sections, ``loading`` reads them and words what is wrong.
"""

from grait.config.loading import as_config, load_config, override, parse_config
from grait.config.schema import (
    MAX_SEED,
    CompareConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    FormConfig,
    InferenceConfig,
    InfluenceConfig,
    KnowledgeConfig,
    LoraSection,
    ModelConfig,
    OptimizerSection,
    PromptConfig,
    ReplayConfig,
    Section,
    SelectionConfig,
    TrainingConfig,
    WarmupConfig,
)

__all__ = [
    "MAX_SEED",
    "CompareConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "FormConfig",
    "InferenceConfig",
    "InfluenceConfig",
    "KnowledgeConfig",
    "LoraSection",
    "ModelConfig",
    "OptimizerSection",
    "PromptConfig",
    "ReplayConfig",
    "Section",
    "SelectionConfig",
    "TrainingConfig",
    "WarmupConfig",
    "as_config",
    "load_config",
    "override",
    "parse_config",
]
