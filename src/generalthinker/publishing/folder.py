"""The folder in which an adapter is shared: one can copy it anywhere, and everything that its user needs is in it.

The run's own folder stays as the training left it: its bytes are kept and compared, and accuracies come later.
"""

import shutil
from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.files import read_json, replacing, write_json, write_text
from generalthinker.keeping import link
from generalthinker.paths import Layout
from generalthinker.publishing.card import CARD, write_card
from generalthinker.publishing.prompt import describe_prompt
from generalthinker.publishing.source import BaseModel, base_model, finished
from generalthinker.records import RunSpec, slug

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
)


def make_folder(settings: Settings, run: RunSpec) -> Path:
    """Write the folder of the adapter of `run` and return it: weights, tokenizer, `prompt.json` and model card.

    The same run and evaluations give the same bytes. Raises NotPublishableError for a run that is not
    finished.
    """
    record = finished(settings, run)
    from transformers import AutoTokenizer

    layout = Layout(settings.results)
    adapter, out = Path(layout.adapter(run.name)), Path(layout.shared(run.name))
    model = Path(layout.model(slug(run.model)))
    base = base_model(settings, run)
    prompt = describe_prompt(settings, AutoTokenizer.from_pretrained(model), model)
    with replacing(out) as folder:
        folder.mkdir(parents=True)
        link(adapter / WEIGHTS, folder / WEIGHTS)
        write_json(folder / CONFIGURATION, configuration(read_json(adapter / CONFIGURATION), base))
        for name in TOKENIZER:
            if (model / name).exists():
                shutil.copyfile(model / name, folder / name)
        write_json(folder / "prompt.json", prompt)
        write_text(folder / CARD, write_card(settings, run, record, base, prompt))
    return out


def configuration(saved: dict[str, Any], base: BaseModel) -> dict[str, Any]:
    """Return the adapter's configuration with the base model by its id and commit, where the run has its own folder.

    PEFT keeps the adapted layers as a set, whose order changes from process to process; here they are sorted.
    """
    return {
        **saved,
        "base_model_name_or_path": base.name,
        "revision": base.commit,
        "target_modules": sorted(saved["target_modules"]),
    }
