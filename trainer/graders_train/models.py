"""Base models and adapters: loaded from local folders only, as safetensors, without code of theirs."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

#: A template for the tiny model: one line for each message.
_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Base:
    """A base model with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def load(folder: str | Path) -> Base:
    """A base model of a local folder: bfloat16 on an accelerator, float32 on a processor.

    Raises:
        OSError: The folder holds no model in safetensors, or no tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=dtype, **options)
    return Base(model, tokenizer)


def lora(rank: int, alpha: int) -> LoraConfig:
    """Low-rank adapters on every linear layer but the output's (Hu et al. 2021, "LoRA")."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def context_tokens(base: Base) -> int:
    """How many tokens the model takes at most."""
    most = getattr(base.model.config, "max_position_embeddings", None) or 2048
    return min(int(most), int(base.tokenizer.model_max_length))


def write_tiny(folder: str | Path, *, seed: int = 0) -> None:
    """Write a random model of two small layers with one token a byte, for tests: 0.2 s, 0.4 MB, no download."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "</s>": 1, **{letter: at for at, letter in enumerate(alphabet, 2)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=512
    )
    fast.chat_template = _TEMPLATE
    random.seed(seed)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
        pad_token_id=0, eos_token_id=1, bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    Path(folder, "README.json").write_text(json.dumps({"made_by": "graders_train.models.write_tiny"}))
