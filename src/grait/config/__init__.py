"""The config: one YAML file, one tree, everything checked before a model loads.

``schema`` has the whole and most sections, ``loading`` reads them and words what is wrong.
"""

from grait.config.context import ContextConfig as ContextConfig
from grait.config.data import ColumnsConfig as ColumnsConfig
from grait.config.data import DataConfig as DataConfig
from grait.config.judge import JudgeConfig as JudgeConfig
from grait.config.loading import as_config as as_config
from grait.config.loading import check_given as check_given
from grait.config.loading import override as override
from grait.config.loading import parse_config as parse_config
from grait.config.loading import parse_file as parse_file
from grait.config.loading import read_tree as read_tree
from grait.config.prompt import FormConfig as FormConfig
from grait.config.prompt import PromptConfig as PromptConfig
from grait.config.schema import Config as Config
from grait.config.schema import EvaluationConfig as EvaluationConfig
from grait.config.schema import InferenceConfig as InferenceConfig
from grait.config.schema import KnowledgeConfig as KnowledgeConfig
from grait.config.schema import LoraSection as LoraSection
from grait.config.schema import ModelConfig as ModelConfig
from grait.config.schema import OptimizerSection as OptimizerSection
from grait.config.schema import ReplayConfig as ReplayConfig
from grait.config.schema import SelectionConfig as SelectionConfig
from grait.config.schema import TrainingConfig as TrainingConfig
from grait.config.schema import TuneConfig as TuneConfig
from grait.config.schema import WarmupConfig as WarmupConfig
from grait.config.section import Section as Section
