"""GiB that one process needs, by purpose: arithmetic on the shape of a base model, nothing is loaded.

reads   nothing; writes nothing

A test holds the sharded state and the activations against a meta-device model on a fake group of 32 ranks, tracked by
torch's FSDPMemTracker (tests/recipes/test_plan.py).
"""

from typing import Any, Literal

from pydantic import PositiveInt

from artefacts import StrictModel
from recipes.recipe import Recipe

GIB = 2**30
CUDA_CONTEXT_GIB = 1.0  # driver, NCCL buffers, fragmentation at rest: a round allowance, not a measurement
FITS_SHARE = 0.92  # of a GPU's memory; the rest is the allocator's fragmentation
LOGITS_TILE_TOKENS = 2048  # TRL's fused head works in tiles; a generous one
BYTES_PER_WEIGHT = {"none": 2, "int8": 1, "nf4": 0.52}  # nf4: 4 bits and the doubly quantised scales


class Base(StrictModel):
    """Shape of a base model, from its config.json; for plans and for random models of its shape."""

    architecture: Literal["llama", "glm", "gpt_bigcode"]
    parameters: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    vocab_size: PositiveInt
    context_tokens: PositiveInt
    tied: bool
    gated: bool
    made_by: str | None = None  # the command that makes the folder, for what the Hub does not have in this form

    @property
    def layer_parameters(self) -> int:
        """Parameters of one transformer layer (all but embeddings, head and last norm, over the layers)."""
        return (self.parameters - self.vocab_size * self.hidden_size * (1 if self.tied else 2)) // self.layers

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one transformer layer, by the names LoRA targets."""
        hidden, kv = self.hidden_size, self.hidden_size * self.kv_heads // self.heads
        shapes = {
            "q_proj": (hidden, hidden),
            "k_proj": (hidden, kv),
            "v_proj": (hidden, kv),
            "o_proj": (hidden, hidden),
        }
        up = (hidden, self.intermediate_size)
        if self.architecture == "llama":
            return shapes | {"gate_proj": up, "up_proj": up, "down_proj": up[::-1]}
        if self.architecture == "glm":
            return shapes | {"gate_up_proj": (hidden, 2 * self.intermediate_size), "down_proj": up[::-1]}
        return {
            "c_attn": (hidden, hidden + 2 * kv),
            "c_fc": (hidden, self.intermediate_size),
            "c_proj": (hidden, hidden),
        }


def adapter_parameters(base: Base, recipe: Recipe) -> int:
    """Trainable parameters of the LoRA adapters: r x (inputs + outputs) of each targeted layer."""
    shapes = base.linear_shapes
    targeted = [shapes[name] for name in recipe.lora_target_modules or () if name in shapes]
    if base.architecture == "gpt_bigcode" and "c_proj" in (recipe.lora_target_modules or ()):
        targeted.append((base.intermediate_size, base.hidden_size))  # the second c_proj, of the MLP
    return base.layers * sum((recipe.lora_r or 0) * (inputs + outputs) for inputs, outputs in targeted)


def layer_activation_elements(base: Base) -> int:
    """Elements a token leaves in one layer for the backward pass, in the compute dtype (norms, q k v, MLP)."""
    return 14 * base.hidden_size + 4 * base.intermediate_size


def gib_per_rank(base: Base, recipe: Recipe, arguments: dict[str, Any]) -> dict[str, float]:
    """GiB that one process holds at its peak, by purpose.

    Full fine-tuning holds fp32 weights, gradients and two Adam moments (16 bytes a parameter), over the ranks when
    sharded; LoRA holds the frozen base in bfloat16, int8 or nf4 and 16 bytes for each adapter parameter.
    """
    shards = recipe.world_size if recipe.sharding == "fsdp2" else 1
    tokens = arguments["max_length"]
    compute_bytes = 2 if arguments["bf16"] else 4
    embeddings = base.parameters - base.layers * base.layer_parameters
    held: dict[str, float] = {}
    if recipe.method == "full":
        held["weights (fp32)"] = 4 * base.parameters / shards
        held["gradients (fp32)"] = 4 * base.parameters / shards
        held["optimiser (Adam, fp32)"] = 8 * base.parameters / shards
    else:
        linear = base.layers * base.layer_parameters
        held[f"frozen weights ({'bf16' if recipe.quantisation == 'none' else recipe.quantisation})"] = (
            BYTES_PER_WEIGHT[recipe.quantisation] * linear + 2 * embeddings
        )
        held["adapters, gradients, optimiser"] = 16 * adapter_parameters(base, recipe)
    if (
        shards > 1
    ):  # embeddings and head stay gathered; this layer, the one prefetched, and an fp32 gradient on its way
        gathered = compute_bytes * (embeddings + 2 * base.layer_parameters)
        held["gathered layers"] = gathered + 4 * base.layer_parameters
    one_layer = compute_bytes * tokens * layer_activation_elements(base)
    if arguments["activation_checkpointing"]:
        # the layer being recomputed, and half as much again for the gradients that pass through it
        held["activations"] = compute_bytes * tokens * base.hidden_size * base.layers + 1.5 * one_layer
    else:
        held["activations"] = one_layer * base.layers
    shown = tokens if arguments["use_cpu"] else min(tokens, LOGITS_TILE_TOKENS)
    held["logits and their gradient (fp32)"] = 2 * 4 * shown * base.vocab_size
    gib = {what: size / GIB for what, size in held.items()}
    return gib if arguments["use_cpu"] else gib | {"CUDA context (allowance)": CUDA_CONTEXT_GIB}


def disk_gib(base: Base, recipe: Recipe, arguments: dict[str, Any]) -> dict[str, float]:
    """GiB of disk a run takes at its peak, by purpose; a base in a local folder is there already."""
    saved = 2 if recipe.save_dtype == "bfloat16" else 4
    trained = base.parameters if recipe.method == "full" else adapter_parameters(base, recipe)
    need = {"prepared rows": 8 * 1.1 * recipe.planned_tokens / GIB, "model": saved * trained / GIB}
    if arguments["save_strategy"] != "no":
        need["checkpoints (3: two kept, one being written)"] = 3 * 12 * trained / GIB
    if not recipe.base.startswith(("build/", "/", ".", "~")):
        need["download of the base"] = 2 * base.parameters / GIB
    return need
