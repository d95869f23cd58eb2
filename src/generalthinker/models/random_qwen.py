"""Build a stand-in for a Qwen2.5 model: with its vocabulary, chat template and dtype, random weights and a tiny size.

Random weights alone never box an answer nor end a response, so that nothing could be trained. A short supervised
training on boxed solutions of synthetic questions teaches the form; right answers are not its aim.
"""

import time
from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from generalthinker import prompts
from generalthinker.config.data import RandomModelSettings
from generalthinker.data import synthetic
from generalthinker.files import replacing, write_json
from generalthinker.models.qwen_vocabulary import CONTEXT_TOKENS, EMBEDDING_ROWS, qwen_tokenizer
from generalthinker.models.warm_up import warm_up

LESSONS = 4000


def build(model: RandomModelSettings, out: Path) -> None:
    """Write the model to `out` in bfloat16, as a model's folder, with a record of its warm-up in `warm_up.json`.

    The same settings on the same machine give the same weights. Raises NoVocabularyError.
    """
    started = time.monotonic()
    torch.manual_seed(model.warm_up.seed)
    tokenizer = qwen_tokenizer()
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    network = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=EMBEDDING_ROWS,
            hidden_size=model.hidden_size,
            intermediate_size=model.intermediate_size,
            num_hidden_layers=model.layers,
            num_attention_heads=model.heads,
            num_key_value_heads=model.key_value_heads,
            max_position_embeddings=CONTEXT_TOKENS,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            initializer_range=0.08,  # a narrow model learns faster with more than Qwen2's 0.02
            bos_token_id=pad,
            eos_token_id=end,
            pad_token_id=pad,
            dtype="float32",
        )
    )
    # The generator's own solutions are the shortest, and every token costs a pass over the whole vocabulary.
    rows = synthetic.rows(None, "pretrain", LESSONS, model.warm_up.seed)
    lessons = [(prompts.question_prompt(tokenizer, row["question"]), row["solution"]) for row in rows]
    trained = warm_up(network, tokenizer, lessons, **model.warm_up.model_dump())
    # Qwen2.5's own checkpoints have such sampling parameters, which neither training nor evaluation may use.
    network.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_p=0.8,
        top_k=20,
        repetition_penalty=1.1,
        bos_token_id=pad,
        eos_token_id=[end, pad],
        pad_token_id=pad,
    )
    with replacing(out) as folder:
        network.bfloat16().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "warm_up.json", trained._asdict() | {"seconds": round(time.monotonic() - started, 1)})
