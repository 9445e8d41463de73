"""What a run stands on, by exact revision: rows, tokenizer, base model; from folders or from the Hub alike.

reads   a dataset repository and a base model, each a folder or a Hub id; writes nothing
"""

import re
from pathlib import Path
from typing import Any

import yaml

from artefacts import ROOT, Refusal, hash_of, read_json, read_mapping, sha256_of_file
from recipes.recipe import CHAT_TEMPLATES, Recipe

BASES = ROOT / "recipes" / "bases.yaml"
MIXTURES = ROOT / "recipes" / "mixtures"

COLUMNS = ("id", "source", "license", "instruction", "response", "alchemist_prompt", "parents")
_TOKENIZER_FILES = ("*token*", "*.jinja", "vocab*", "merges*", "config.json")


def is_local(name: str) -> bool:
    """True for what can only be meant as a path, whether or not there is something."""
    return name.startswith(("build/", ".", "/", "~")) or name.count("/") > 1  # an id of the Hub is owner/name


def entry_of_base(name: str) -> dict[str, Any] | None:
    """Entry of recipes/bases.yaml for a base; that of the same last part for a folder that is not there (BUILD=)."""
    bases = read_mapping(BASES)
    moved = {Path(key).name: entry for key, entry in bases.items() if is_local(key)}
    return bases.get(name) or (moved.get(Path(name).name) if is_local(name) and not Path(name).exists() else None)


def how_to_make(what: str, name: str) -> str | None:
    """The command of this project that makes the folder of a `base` or of `data`, None where there is none."""
    last = Path(name).name
    if what == "data":
        return f"make data MIXTURE={last}" if (MIXTURES / f"{last}.yaml").is_file() else None
    return next((e.get("made_by") for key, e in read_mapping(BASES).items() if Path(key).name == last), None)


def digest_of_folder(folder: Path, patterns: tuple[str, ...] = ("*",)) -> str:
    """One digest of the files below `folder` that match; names and contents count, times do not."""
    files = sorted({p for pattern in patterns for p in folder.rglob(pattern) if p.is_file()})
    return hash_of([[str(p.relative_to(folder)), sha256_of_file(p)] for p in files])


def files_of_configuration(folder: Path, name: str) -> tuple[str, ...]:
    """Patterns of the files that a configuration reads, by the dataset card; all files where it names none in here."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    configs = (yaml.safe_load(front[1]) or {}).get("configs", []) if front else []
    for config in configs:
        if config.get("config_name") == name and isinstance(config.get("data_files"), list):
            patterns = tuple(str(part["path"]) for part in config["data_files"])
            if all(not p.startswith("/") and any(folder.glob(p)) for p in patterns):
                return patterns
    return ("*",)


def data_revision(recipe: Recipe) -> str:
    """What exactly is trained on: a digest of the configuration's files in a folder, or the commit of a repository.

    The digest is the same for a mixture just built and for its published copy, whose card names a release.

    Raises:
        Refusal: neither a folder with a dataset card nor a repository that the Hub gives.
    """
    folder = Path(recipe.data)
    if (folder / "README.md").is_file():
        return digest_of_folder(folder, files_of_configuration(folder, recipe.data_config))
    if folder.is_dir() or is_local(recipe.data):
        how = how_to_make("data", recipe.data)
        remedy = (
            f"run `{how}` first" if how else "name a folder that `make data` or `make download-data` wrote (DATA=)"
        )
        raise Refusal(f"data '{recipe.data}': no dataset repository there (README.md is missing); {remedy}.")
    return recipe.data_revision or _commit_on_hub("data", recipe.data)


def pin(recipe: Recipe) -> Recipe:
    """The recipe with the commits of a base and a mixture on the Hub written in; folders need none.

    Raises:
        Refusal: the base is a path and there is nothing, or the Hub does not give it.
    """
    pinned = {}
    if not Path(recipe.base).is_dir() and not recipe.base_revision:
        if is_local(recipe.base):
            how = how_to_make("base", recipe.base)
            remedy = f"run `{how}` first" if how else "name a folder or a Hub id that holds it (BASE=)"
            raise Refusal(f"base '{recipe.base}': there is no such folder; {remedy}.")
        pinned["base_revision"] = _commit_on_hub("base", recipe.base)
    if not Path(recipe.data).is_dir() and not is_local(recipe.data) and not recipe.data_revision:
        pinned["data_revision"] = _commit_on_hub("data", recipe.data)
    return recipe.model_copy(update=pinned)


def refuse_missing_commits(recipe: Recipe) -> None:
    """Ask the Hub for the commits that a pinned recipe names, before anything is downloaded.

    Raises:
        Refusal: a repository or its commit is not there.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    asked = (
        ("data", recipe.data, recipe.data_revision, api.dataset_info),
        ("base", recipe.base, recipe.base_revision, api.model_info),
    )
    for what, name, commit, info in asked:
        if commit and not Path(name).is_dir():
            try:
                info(name, revision=commit, timeout=20)
            except Exception as error:  # whatever the client raises, the sentence is the same
                said = type(error).__name__
                raise Refusal(f"{what} '{name}' at {commit}: the Hub does not give it ({said}).") from None


def _commit_on_hub(what: str, name: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError

    api = HfApi()
    try:
        info = api.dataset_info(name, timeout=20) if what == "data" else api.model_info(name, timeout=20)
        if what == "base":
            api.auth_check(name)
    except GatedRepoError:
        raise Refusal(
            f"{what} '{name}' is gated; accept its licence at https://huggingface.co/{name} and run `hf auth login`."
        ) from None
    except Exception as error:  # whatever the client raises, the sentence is the same
        said = type(error).__name__
        raise Refusal(f"{what} '{name}': no such folder, and the Hub does not give it ({said}).") from None
    return info.sha


def config_on_hub(recipe: Recipe) -> dict[str, Any] | None:
    """The config.json of a base on the Hub, None where the Hub does not give it."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(recipe.base, "config.json", revision=recipe.base_revision, etag_timeout=20)
    except Exception:  # whatever the client raises: the caller says what it knows instead
        return None
    return read_json(Path(path))


def base_digest(recipe: Recipe) -> str:
    """What exactly is trained: a digest of a folder's files, else the commit on the Hub (see `pin`)."""
    folder = Path(recipe.base)
    return digest_of_folder(folder) if folder.is_dir() else f"{recipe.base}@{recipe.base_revision}"


def tokenizer_digest(recipe: Recipe) -> str:
    """What shapes the token ids: the tokenizer's files and the chat template."""
    folder = Path(recipe.base)
    files = digest_of_folder(folder, _TOKENIZER_FILES) if folder.is_dir() else base_digest(recipe)
    return hash_of([files, recipe.pad_token, template_of(recipe)])


def template_of(recipe: Recipe) -> str | None:
    """Text of the recipe's chat template, or None for that of the base."""
    return (CHAT_TEMPLATES / recipe.chat_template).read_text(encoding="utf-8") if recipe.chat_template else None


def load_tokenizer(recipe: Recipe) -> Any:
    """The base's tokenizer with the recipe's chat template and padding.

    Raises:
        Refusal: it has no EOS token or no chat template, or does not know the recipe's pad_token.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(recipe.base, revision=recipe.base_revision or "main")
    if tokenizer.eos_token_id is None:
        raise Refusal(f"{recipe.base}: the tokenizer has no EOS token, so that a model could not learn to stop.")
    if recipe.pad_token not in tokenizer.get_vocab():
        raise Refusal(f"{recipe.base}: the tokenizer has no token '{recipe.pad_token}' (the recipe's pad_token).")
    tokenizer.pad_token = recipe.pad_token
    tokenizer.padding_side = "right"
    tokenizer.chat_template = template_of(recipe) or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise Refusal(f"{recipe.base}: the base has no chat template; name one of ours with the key chat_template.")
    return tokenizer


def read_splits(recipe: Recipe, revision: str, cache: Path) -> dict[str, Any]:
    """The splits `train` and, where the mixture has one, `test`, through the same call for a folder and for the Hub.

    Raises:
        Refusal: the configuration, the split `train` or a column is missing, or a split holds no row.
    """
    import datasets

    # A folder's cache key ignores its files, so a rewritten Parquet would give the old rows: one cache per revision.
    is_folder = Path(recipe.data).is_dir()
    options = {"cache_dir": str(cache / revision[:16])} if is_folder else {"revision": revision}
    where = f"data '{recipe.data}', configuration '{recipe.data_config}'"
    try:
        builder = datasets.load_dataset_builder(recipe.data, recipe.data_config, **options)
        builder.download_and_prepare()
    except (ValueError, FileNotFoundError, datasets.exceptions.DatasetGenerationError) as error:
        said = " ".join(str(error.__cause__ or error).split())[:200]
        if "BatchSize must be greater than 0" in said:  # what pyarrow says of a Parquet file without a row
            said = "one of its Parquet files holds no row"
        raise Refusal(f"{where}: it cannot be read ({said}).") from None
    found: dict[str, Any] = {}
    for split in ("train", "test"):
        size = builder.info.splits.get(split)
        if size is None and split == "train":
            raise Refusal(f"{where}: there is no split 'train' (found: {', '.join(builder.info.splits)}).")
        if size is not None and not size.num_examples:
            raise Refusal(f"{where}: the split '{split}' holds no row; the mixture's ledger says what rejected them.")
        if size is not None:
            found[split] = builder.as_dataset(split)
    for split, rows in found.items():
        missing = [name for name in COLUMNS if name not in rows.column_names]
        if missing:
            raise Refusal(
                f"{where}: the column '{missing[0]}' of the split '{split}' is missing (found: "
                f"{', '.join(rows.column_names)}); `make data` publishes what is read."
            )
    return found


def resolved(recipe: Recipe, arguments: dict[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """What is run on this machine, and recorded: the attention that `auto` becomes, and whether Liger is used.

    flash_attention_2 where it is installed, else sdpa; Liger where it is installed and knows the base's architecture.

    Raises:
        Refusal: flash_attention_2 is asked for by name (as the record of a run does) and is not installed.
    """
    from transformers import AutoConfig
    from transformers.utils import is_flash_attn_2_available, is_liger_kernel_available

    on_gpu = not arguments["use_cpu"]
    if recipe.attention == "auto":
        attention = "flash_attention_2" if on_gpu and is_flash_attn_2_available() else "sdpa"
        recipe = recipe.model_copy(update={"attention": attention})
    elif recipe.attention == "flash_attention_2" and not (on_gpu and is_flash_attn_2_available()):
        raise Refusal(
            "key 'attention': flash_attention_2 is asked for and cannot be used here; install flash-attn on a machine "
            "with a GPU, or say sdpa (the same steps but for rounding: other bytes)."
        )
    if arguments.get("use_liger_kernel"):
        used = on_gpu and is_liger_kernel_available()
        if used:
            from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as KNOWN

            config = AutoConfig.from_pretrained(recipe.base, revision=recipe.base_revision or "main")
            used = config.model_type in KNOWN
        arguments = arguments | {"use_liger_kernel": used}
    return recipe, arguments


def load_base(recipe: Recipe, use_cpu: bool) -> Any:
    """The base model as a `resolved` recipe trains it: fp32 for full fine-tuning; under LoRA bf16, int8 or NF4."""
    import torch
    import transformers

    options: dict[str, Any] = {"dtype": torch.float32 if recipe.method == "full" else torch.bfloat16}
    if recipe.quantisation != "none":
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=recipe.quantisation == "nf4",
            load_in_8bit=recipe.quantisation == "int8",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        options["device_map"] = {"": "cpu" if use_cpu else torch.cuda.current_device()}
    revision = recipe.base_revision or "main"
    return transformers.AutoModelForCausalLM.from_pretrained(
        recipe.base, revision=revision, attn_implementation=recipe.attention, use_safetensors=True, **options
    )
