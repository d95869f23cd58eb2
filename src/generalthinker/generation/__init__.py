"""Greedy generation: one interface, two engines, chosen by `evaluation.engine`."""

import logging
from pathlib import Path

from generalthinker.config.training import EvaluationSettings
from generalthinker.generation.base import Engine, EngineUnavailableError, Generated

__all__ = ["Engine", "EngineUnavailableError", "Generated", "open_engine"]
logger = logging.getLogger(__name__)


def open_engine(settings: EvaluationSettings, model: Path, adapter: Path | None) -> Engine:
    """Return the engine that `settings.engine` asks for, ready to generate with `model` and its LoRA `adapter`.

    `auto` takes vLLM where it starts on this machine and transformers, with a warning, where not. Raises
    EngineUnavailableError where `vllm` is asked for by name and does not start.
    """
    if settings.engine != "transformers":
        try:
            from generalthinker.generation.vllm_engine import VllmEngine

            return VllmEngine(settings, model, adapter)
        except EngineUnavailableError as error:
            if settings.engine == "vllm":
                raise EngineUnavailableError(
                    f"{error}\nevaluation.engine = 'vllm' asks for vLLM by name; 'transformers' or 'auto' do without it"
                ) from error
            logger.warning("vLLM does not start here, using transformers instead: %s", error)
    from generalthinker.generation.transformers_engine import TransformersEngine

    return TransformersEngine(settings, model, adapter)
