"""CodeGeeX2-6B -> the native GLM architecture of transformers, so that nothing of its repository's code is run.

    python -m recipes.convert_codegeex2 THUDM/codegeex2-6b            (or a folder with the same files)

reads   config.json, the weights (safetensors, or .bin as weights only) and tokenizer.model of a folder or of the Hub
writes  build/models/codegeex2-6b/: safetensors, config.json, tokenizer.json, MODEL_LICENSE, source.json; whole or not

CodeGeeX2 is a ChatGLM2: multi-query attention in groups, biases on q, k and v alone, RMSNorm, SwiGLU, and a rotary
embedding on the first half of each head, in interleaved pairs. `GlmForCausalLM` computes the same function:

    query_key_value            -> q_proj, k_proj, v_proj: the query heads first, then the groups of keys, of values
    mlp.dense_h_to_4h          -> mlp.gate_up_proj, the gate's rows first in both
    transformer.output_layer   -> lm_head

In fp32 the two agree. In bfloat16 they round differently: the published code also rounds positions and rotary angles
to bfloat16 (where whole numbers are exact up to 256), the native one computes them in fp32; RMSNorm rounds elsewhere.
"""

import argparse
import json
import pickle
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from artefacts import (
    Refusal,
    code_key,
    command_line,
    hash_of,
    read_json,
    read_mapping,
    sha256_of_file,
    write_json,
)
from recipes import inputs, save
from recipes.codegeex2_tokenizer import convert_tokenizer

PINS = ("transformers", "tokenizers", "safetensors", "sentencepiece")
LICENCE_FILE = "MODEL_LICENSE"  # goes along with the weights
WANTED = ("config.json", "*.safetensors", "pytorch_model*.bin", "tokenizer.model", LICENCE_FILE)
ROTARY_BASE = 10_000.0
# What the native architecture cannot do otherwise. `apply_query_key_layer_scaling` is not here: it divides scores by
# the layer's number and multiplies by it again.
FIXED = {
    "add_bias_linear": False, "apply_residual_connection_post_layernorm": False, "fp32_residual_connection": False,
    "hidden_dropout": 0.0, "interleaved_qkv": False, "multi_query_attention": True, "original_rope": True,
    "post_layer_norm": True, "pre_seq_len": None, "quantization_bit": 0, "rmsnorm": True, "rope_ratio": 1,
    "rotary_percent": 0.5,
}  # fmt: skip
_RENAMED = {
    "transformer.embedding.word_embeddings.weight": "model.embed_tokens.weight",
    "transformer.encoder.final_layernorm.weight": "model.norm.weight",
    "transformer.output_layer.weight": "lm_head.weight",
}
_RENAMED_IN_LAYERS = {
    "input_layernorm.weight": "input_layernorm.weight",
    "post_attention_layernorm.weight": "post_attention_layernorm.weight",
    "self_attention.dense.weight": "self_attn.o_proj.weight",
    "mlp.dense_h_to_4h.weight": "mlp.gate_up_proj.weight",
    "mlp.dense_4h_to_h.weight": "mlp.down_proj.weight",
}
_LAYER = re.compile(r"transformer\.encoder\.layers\.(\d+)\.(.+)")


def native_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The `GlmConfig` that computes what this ChatGLM2 configuration does.

    Raises:
        Refusal: a key has a value that the native architecture cannot hold, or is missing.
    """
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise Refusal(f"{where}: {key} is {config[key]!r}; the native GLM architecture computes {value!r} alone.")
    try:
        return {
            "vocab_size": config["padded_vocab_size"],
            "hidden_size": config["hidden_size"],
            "intermediate_size": config["ffn_hidden_size"],
            "num_hidden_layers": config["num_layers"],
            "num_attention_heads": config["num_attention_heads"],
            "num_key_value_heads": config["multi_query_group_num"],
            "head_dim": config["kv_channels"],
            "attention_bias": config["add_qkv_bias"],
            "attention_dropout": config["attention_dropout"],
            "rms_norm_eps": config["layernorm_epsilon"],
            "max_position_embeddings": config["seq_length"],
            "tie_word_embeddings": config["tie_word_embeddings"],
            "rope_parameters": {"rope_type": "default", "rope_theta": ROTARY_BASE, "partial_rotary_factor": 0.5},
            "pad_token_id": 0,
            "eos_token_id": config["eos_token_id"],
        }  # fmt: skip
    except KeyError as missing:
        raise Refusal(f"{where}: the key {missing} is missing; is it a ChatGLM2?") from None


def native_tensors(name: str, tensor: Any, native: Mapping[str, Any]) -> dict[str, Any]:
    """One tensor of ChatGLM2 under the names of the native architecture; none for the frequencies, which are checked.

    Raises:
        Refusal: a name that ChatGLM2 does not have, or rotary frequencies of another base.
    """
    import torch

    if name in _RENAMED:
        return {_RENAMED[name]: tensor}
    if name == "transformer.rotary_pos_emb.inv_freq":
        width = native["head_dim"] // 2
        wanted = ROTARY_BASE ** -(torch.arange(0, width, 2) / width)
        if tensor.shape != wanted.shape or not torch.allclose(tensor.float(), wanted, rtol=0.01):
            raise Refusal(f"{name}: not the rotary frequencies of base {ROTARY_BASE:g} on half of each head.")
        return {}
    found = _LAYER.fullmatch(name)
    layer, inner = found.groups() if found else ("", "")
    if inner in _RENAMED_IN_LAYERS:
        return {f"model.layers.{layer}.{_RENAMED_IN_LAYERS[inner]}": tensor}
    if inner in ("self_attention.query_key_value.weight", "self_attention.query_key_value.bias"):
        heads, groups = native["num_attention_heads"], native["num_key_value_heads"]
        parts = tensor.split([n * native["head_dim"] for n in (heads, groups, groups)])
        kind = inner.rsplit(".", 1)[1]
        return {
            f"model.layers.{layer}.self_attn.{letter}_proj.{kind}": part.contiguous()
            for letter, part in zip("qkv", parts, strict=True)
        }
    raise Refusal(f"{name}: no tensor of ChatGLM2 has this name.")


def weight_shards(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files of weights and their tensors, one file in memory at a time; pickles are read as weights only.

    Raises:
        Refusal: there is none, or a file cannot be read without running what is in it.
    """
    import torch
    from safetensors.torch import load_file

    files = save.weight_files(folder) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise Refusal(f"{folder}: no weights there (*.safetensors or pytorch_model*.bin).")
    for path in files:
        if path.suffix == ".safetensors":
            yield path, load_file(path)
            continue
        try:
            yield path, torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            said = " ".join(str(error).split())[:120]
            raise Refusal(f"{path}: cannot be read as weights only ({said}); it is not opened otherwise.") from None


def convert_weights(source: Path, native: Mapping[str, Any], target: Path) -> None:
    """Write the weights as safetensors, a file for each of the source's, and the index of them all.

    Raises:
        Refusal: see `weight_shards`, `native_tensors`; or the tensors are not those of the architecture.
    """
    import torch
    import transformers
    from safetensors.torch import save_file

    with torch.device("meta"):
        model = transformers.GlmForCausalLM(transformers.GlmConfig(**native))
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    where: dict[str, str] = {}
    size = 0
    for number, (path, tensors) in enumerate(weight_shards(source), start=1):
        made: dict[str, Any] = {}
        for name, tensor in tensors.items():
            made |= native_tensors(name, tensor, native)
        for name, tensor in made.items():
            if wanted.get(name) != tensor.shape:
                found, said = list(tensor.shape), list(wanted.get(name, ()))
                raise Refusal(f"{path}: {name} has the shape {found}, not {said} as config.json says.")
        file = f"model-{number:05d}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in made.items()}, target / file, {"format": "pt"})
        where |= dict.fromkeys(made, file)
        size += sum(tensor.nbytes for tensor in made.values())
        dtype = next((str(t.dtype).removeprefix("torch.") for t in made.values()), None)
    if missing := sorted(wanted.keys() - where.keys()):
        raise Refusal(f"{source}: {len(missing)} tensors are missing, the first is {missing[0]}.")
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    model.config.architectures, model.config.dtype = ["GlmForCausalLM"], dtype
    model.config.save_pretrained(target)


def fetch(name: str) -> tuple[Path, str]:
    """The folder with the published files, and what exactly it is: a digest, or owner/name@commit.

    Raises:
        Refusal: neither a folder nor a repository that the Hub gives.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder, inputs.digest_of_folder(folder, WANTED)
    repo_id, _, revision = name.partition("@")
    if inputs.is_local(name) or repo_id.count("/") != 1:
        raise Refusal(f"'{name}': no such folder, and not owner/name or owner/name@<commit>.")
    from huggingface_hub import HfApi, snapshot_download

    try:
        commit = HfApi().model_info(repo_id, revision=revision or None, timeout=20).sha
        return Path(snapshot_download(repo_id, revision=commit, allow_patterns=list(WANTED))), f"{repo_id}@{commit}"
    except Exception as error:  # whatever the client raises, the sentence is the same
        raise Refusal(f"'{name}': no such folder, and the Hub does not give it ({type(error).__name__}).") from None


def convert(source: Path, target: Path, key: str, what: str) -> dict[str, Any]:
    """Convert a folder with the published files into a model folder that `from_pretrained` loads; its source.json.

    Raises:
        Refusal: see `native_config`, `convert_weights`, `convert_tokenizer`; a file is missing; nothing is replaced.
    """
    config = read_json(source / "config.json")
    if config is None or not (source / "tokenizer.model").is_file():
        raise Refusal(f"{source}: config.json or tokenizer.model is missing; is it CodeGeeX2?")
    native = native_config(config, f"{source}/config.json")
    unfinished = save.empty(target)
    try:
        tokenizer = convert_tokenizer(source / "tokenizer.model")
        if len(tokenizer) > native["vocab_size"]:
            raise Refusal(f"{source}: {len(tokenizer)} tokens do not fit embeddings of {native['vocab_size']} rows.")
        tokenizer.save_pretrained(unfinished)
        convert_weights(source, native, unfinished)
        if (source / LICENCE_FILE).is_file():
            shutil.copy(source / LICENCE_FILE, unfinished / LICENCE_FILE)
        weights = save.weight_files(unfinished)
        record = {
            "key": key,
            "name": "CodeGeeX2-6B",
            "hub_id": "THUDM/codegeex2-6b",
            "source": f"{what}, converted to the native GLM architecture of transformers",
            "licence": "codegeex2-6b",  # the Hub has no id for the CodeGeeX2-6B License
            "bytes": sum(path.stat().st_size for path in weights),
            "digest": hash_of([sha256_of_file(path) for path in weights]),
        }
        write_json(unfinished / "source.json", record)  # in here: a folder without it is not ours to replace
        save.finish(unfinished, target)
        return record
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def plan_of(name: str, target: Path) -> str:
    """What converting takes, as a text for a person: nothing is asked of the Hub."""
    folder = Path(name)
    files = save.weight_files(folder) or sorted(folder.glob("pytorch_model*.bin"))
    published = read_mapping(inputs.BASES)["build/models/codegeex2-6b"]["parameters"] * 2 / 2**30  # in 16 bits
    gib = sum(path.stat().st_size for path in files) / 2**30 if folder.is_dir() else published
    existing = next(p for p in [target.resolve(), *target.resolve().parents] if p.exists())
    free = shutil.disk_usage(existing).free / 2**30
    fetched = "read from there" if folder.is_dir() else "downloaded first"
    return (
        f"plan of converting {name} into {target}\n"
        f"  GiB of weights  {gib:.1f}, {fetched}, and as many written; one file of them in memory at a time\n"
        f"  GiB of disk     free here: {free:.0f}"
    )


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.convert_codegeex2", description=__doc__.split("\n\n")[0])
    parser.add_argument("source", help="folder, or owner/name[@commit] on the Hub (THUDM/codegeex2-6b)")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/models/codegeex2-6b"))
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    given = parser.parse_args()
    target = given.folder
    if given.dry_run:
        print(plan_of(given.source, target))
        return
    found = read_json(target / "source.json")
    if target.exists() and not found and any(target.iterdir()):
        raise Refusal(f"{target}: the folder holds files that are not ours to replace; name another one.")
    source, what = fetch(given.source)
    key = code_key(["recipes.convert_codegeex2"], {}, PINS, [what])
    if found and found["key"] == key and found["bytes"] == sum(p.stat().st_size for p in save.weight_files(target)):
        print(f"{target}: unchanged")
        return
    record = convert(source, target, key, what)
    count = len(save.weight_files(target))
    print(f"{target}: {record['bytes'] / 2**20:,.0f} MiB in {count} file(s)")
    if not (target / LICENCE_FILE).is_file():
        print(f"{target}: {given.source} has no {LICENCE_FILE}; put it there before you publish what you train on it.")


if __name__ == "__main__":
    raise SystemExit(main())
