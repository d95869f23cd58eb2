"""Generation with the engine that `evaluation.engine` chooses."""

import logging
from pathlib import Path

from generalthinker.config.training import EvaluationSettings
from generalthinker.generation.base import Decoding, Engine, EngineUnavailableError, Generated

__all__ = ["Decoding", "Engine", "EngineUnavailableError", "Generated", "open_engine"]
logger = logging.getLogger(__name__)


def open_engine(settings: EvaluationSettings, model: Path, adapter: Path | None) -> Engine:
    """Return the engine that `settings.engine` asks for, ready to generate with `model` and its LoRA `adapter`.

    `auto` uses vLLM if it starts on this machine, otherwise transformers, with a warning. Raises
    EngineUnavailableError if the setting is `vllm` and vLLM does not start.
    """
    if settings.engine != "transformers":
        try:
            from generalthinker.generation.vllm_engine import VllmEngine

            return VllmEngine(settings, model, adapter)
        except EngineUnavailableError as error:
            if settings.engine == "vllm":
                raise EngineUnavailableError(
                    f"{error}\nevaluation.engine is 'vllm'; set it to 'transformers' or 'auto' to run without vLLM"
                ) from error
            logger.warning("vLLM does not start on this machine; transformers is used instead: %s", error)
    from generalthinker.generation.transformers_engine import TransformersEngine

    return TransformersEngine(settings, model, adapter)
