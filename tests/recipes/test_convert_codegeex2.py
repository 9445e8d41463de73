"""CodeGeeX2 under the native architecture: the same logits as a ChatGLM2 written down here, the same tokens."""

import io
import json

import pytest

from artefacts import ROOT, Refusal, read_json
from recipes import codegeex2_tokenizer, convert_codegeex2, plan, sft
from recipes.recipe import load
from tests.conftest import run_module
from tests.local_hub import LocalHub
from tests.recipes.conftest import DEMO, toy_rows

TINY = {
    "model_type": "chatglm", "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
    "add_bias_linear": False, "add_qkv_bias": True, "apply_query_key_layer_scaling": True, "attention_dropout": 0.0,
    "apply_residual_connection_post_layernorm": False, "ffn_hidden_size": 96, "fp32_residual_connection": False,
    "hidden_dropout": 0.0, "hidden_size": 64, "interleaved_qkv": False, "kv_channels": 16, "layernorm_epsilon": 1e-5,
    "multi_query_attention": True, "multi_query_group_num": 2, "num_attention_heads": 4, "num_layers": 3,
    "original_rope": True, "padded_vocab_size": 640, "post_layer_norm": True, "rmsnorm": True, "rotary_percent": 0.5,
    "seq_length": 1024, "tie_word_embeddings": False, "eos_token_id": 2,
}  # fmt: skip


def random_weights() -> dict:
    """Tensors of a tiny ChatGLM2 under its published names; large enough that every one of them matters."""
    import torch

    random = torch.Generator().manual_seed(0)

    def normal(*shape, mean=0.0):
        return mean + 0.2 * torch.randn(*shape, generator=random)

    heads, groups, wide = 64, 2 * 16, 96
    weights = {
        "transformer.embedding.word_embeddings.weight": normal(640, 64),
        "transformer.rotary_pos_emb.inv_freq": 10_000 ** -(torch.arange(0, 8, 2) / 8),
        "transformer.encoder.final_layernorm.weight": normal(64, mean=1.0),
        "transformer.output_layer.weight": normal(640, 64),
    }
    for layer in range(3):
        of_layer = {
            "input_layernorm.weight": normal(64, mean=1.0),
            "self_attention.query_key_value.weight": normal(heads + 2 * groups, 64),
            "self_attention.query_key_value.bias": normal(heads + 2 * groups),
            "self_attention.dense.weight": normal(64, heads),
            "post_attention_layernorm.weight": normal(64, mean=1.0),
            "mlp.dense_h_to_4h.weight": normal(2 * wide, 64),
            "mlp.dense_4h_to_h.weight": normal(64, wide),
        }
        weights |= {f"transformer.encoder.layers.{layer}.{name}": tensor for name, tensor in of_layer.items()}
    return weights


def reference_logits(weights, ids):
    """ChatGLM2's forward pass for one text, head by head, the rotation as a product of complex numbers.

    Args:
        ids: tokens, shape (n,). Returns logits, shape (n, 640).
    """
    import torch

    def norm(x, weight):
        return weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()

    def rotated(x):  # (n, 16): the first eight channels are four complex numbers, the others stay
        angles = torch.outer(torch.arange(len(x)).float(), 10_000.0 ** -(torch.arange(4) / 4))
        turned = torch.view_as_complex(x[:, :8].reshape(-1, 4, 2)) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([torch.view_as_real(turned).flatten(1), x[:, 8:]], dim=1)

    stream = weights["transformer.embedding.word_embeddings.weight"][ids]
    future = torch.ones(len(ids), len(ids)).triu(1).bool()
    for layer in range(3):
        w = {k.split(f"layers.{layer}.")[1]: v for k, v in weights.items() if f"layers.{layer}." in k}
        x = norm(stream, w["input_layernorm.weight"])
        x = x @ w["self_attention.query_key_value.weight"].T + w["self_attention.query_key_value.bias"]
        queries, keys, values = x[:, :64], x[:, 64:96], x[:, 96:]
        heads = []
        for head in range(4):
            of_group = slice(16 * (head // 2), 16 * (head // 2 + 1))  # heads 0 and 1 share a group, 2 and 3
            q, k = rotated(queries[:, 16 * head : 16 * (head + 1)]), rotated(keys[:, of_group])
            scores = (q @ k.T / 4.0).masked_fill(future, float("-inf"))
            heads.append(scores.softmax(-1) @ values[:, of_group])
        stream = stream + torch.cat(heads, dim=1) @ w["self_attention.dense.weight"].T
        x = norm(stream, w["post_attention_layernorm.weight"]) @ w["mlp.dense_h_to_4h.weight"].T
        stream = stream + (x[:, :96].sigmoid() * x[:, :96] * x[:, 96:]) @ w["mlp.dense_4h_to_h.weight"].T
    return (
        norm(stream, weights["transformer.encoder.final_layernorm.weight"])
        @ weights["transformer.output_layer.weight"].T
    )


@pytest.fixture(scope="module")
def pieces() -> dict[str, bytes]:
    """Two small sentencepiece models, with bytes for what they do not know, as CodeGeeX2's is.

    Of texts that nobody edits: another corpus is another vocabulary, and what a test trains on it ends otherwise.
    """
    import sentencepiece

    lines = [line for row in toy_rows(30) for line in f"{row['instruction']}\n{row['response']}".split("\n")]
    lines += (ROOT / "LICENSE").read_text().split("\n")
    found = {}
    for kind in ("bpe", "unigram"):
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=out, vocab_size=600, model_type=kind, byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.99, minloglevel=2,
            num_threads=1,
        )  # fmt: skip
        found[kind] = out.getvalue()
    return found


@pytest.fixture
def published(tmp_path, pieces):
    """A folder as the Hub gives it: call with tensors and changes of config.json."""
    import torch

    def write(weights=None, **changes):
        folder = tmp_path / "published"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(TINY | changes))
        (folder / "modeling_chatglm.py").write_text("raise SystemExit('code of the repository ran')")
        (folder / "tokenizer.model").write_bytes(pieces["bpe"])
        (folder / "MODEL_LICENSE").write_text("The CodeGeeX2-6B License")
        names = sorted(weights := random_weights() if weights is None else weights)
        for number, part in enumerate((names[:9], names[9:]), start=1):
            torch.save({n: weights[n] for n in part}, folder / f"pytorch_model-{number:05d}-of-00002.bin")
        return folder

    return write


@pytest.fixture
def converted(published, in_process, tmp_path):
    done = in_process(convert_codegeex2, published(), tmp_path / "native")
    assert done.code == 0, done.err
    return tmp_path / "native"


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_the_native_architecture_computes_the_logits_of_chatglm2(published, in_process, tmp_path, form):
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    folder, weights = published(), random_weights()
    if form == "safetensors":
        for path in folder.glob("*.bin"):
            path.unlink()
        save_file(weights, folder / "model.safetensors")
    assert in_process(convert_codegeex2, folder, tmp_path / "native").code == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "native", dtype=torch.float32, use_safetensors=True)
    assert type(model).__module__.startswith("transformers.models.glm.")
    recipe, _ = load(DEMO, {"base": str(tmp_path / "native")})
    assert plan.base_of(DEMO, recipe).parameters == model.num_parameters()
    ids = torch.randint(0, 640, (2, 300), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model(ids).logits
    for text, logits in zip(ids, ours, strict=True):
        theirs = reference_logits(weights, text)
        assert theirs.std() > 1, "logits that all are near zero would agree with anything"
        assert (logits - theirs).abs().max() < 1e-4


def test_what_was_converted_is_not_converted_again_and_says_what_it_is(converted, in_process, tmp_path):
    record = read_json(converted / "source.json")
    assert record["name"] == "CodeGeeX2-6B" and record["licence"] == "codegeex2-6b" and record["digest"]
    assert not (converted / "modeling_chatglm.py").exists() and "auto_map" not in read_json(converted / "config.json")
    again = in_process(convert_codegeex2, tmp_path / "published", converted)
    assert again.code == 0 and "unchanged" in again.out


def test_the_licence_goes_along_and_where_it_cannot_that_is_said(converted, in_process, tmp_path):
    assert (converted / "MODEL_LICENSE").read_text() == "The CodeGeeX2-6B License"
    (tmp_path / "published/MODEL_LICENSE").unlink()
    again = in_process(convert_codegeex2, tmp_path / "published", converted)
    assert again.code == 0 and "has no MODEL_LICENSE" in again.out and not (converted / "MODEL_LICENSE").exists()


def test_a_conversion_that_was_cut_off_once_in_place_is_whole(published, in_process, tmp_path, monkeypatch):
    real = convert_codegeex2.save.finish

    def cut_off(*folders):
        real(*folders)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert_codegeex2.save, "finish", cut_off)
        assert in_process(convert_codegeex2, published(), tmp_path / "native").code == 130
    again = in_process(convert_codegeex2, tmp_path / "published", tmp_path / "native")
    assert again.code == 0 and "unchanged" in again.out, again.err


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_tokenizer_splits_as_sentencepiece_and_loads_without_code_of_the_repository(pieces, tmp_path, kind):
    import sentencepiece
    from transformers import AutoTokenizer

    (tmp_path / "tokenizer.model").write_bytes(pieces[kind])
    codegeex2_tokenizer.convert_tokenizer(tmp_path / "tokenizer.model").save_pretrained(tmp_path / "native")
    (tmp_path / "native/config.json").write_text(json.dumps({"model_type": "glm"}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "native")
    reference = sentencepiece.SentencePieceProcessor(model_proto=pieces[kind])
    special = {name: 600 + n for n, name in enumerate(codegeex2_tokenizer.SPECIAL)}
    assert {name: tokenizer.convert_tokens_to_ids(name) for name in special} == special
    text = "# language: C++\n\tint sophisticated = 0;  // 编写\n"
    assert tokenizer(text)["input_ids"] == [601, 603, *reference.encode(text)], "[gMASK] <sop>, as published"
    assert tokenizer("[gMASK]<sop>" + text, add_special_tokens=False)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokenizer.decode(reference.encode(text)) == text == tokenizer.decode(tokenizer(text)["input_ids"], True)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (2, 0, None)


def test_a_tokenizer_that_would_split_otherwise_is_refused(pieces, tmp_path, monkeypatch):
    from tokenizers import normalizers

    (tmp_path / "tokenizer.model").write_bytes(pieces["bpe"])
    monkeypatch.setattr(normalizers, "Prepend", lambda _: normalizers.Strip())
    with pytest.raises(Refusal, match="otherwise than sentencepiece; not kept"):
        codegeex2_tokenizer.convert_tokenizer(tmp_path / "tokenizer.model")


@pytest.mark.parametrize(
    ("key", "value"),
    [("add_bias_linear", True), ("rmsnorm", False), ("rope_ratio", 50), ("quantization_bit", 4), ("pre_seq_len", 128)],
)
def test_what_the_native_architecture_cannot_hold_is_named(published, in_process, tmp_path, key, value):
    done = in_process(convert_codegeex2, published(**{key: value}), tmp_path / "native")
    assert done.code == 2 and f"config.json: {key} is {value!r}; the native GLM architecture computes" in done.last
    assert not (tmp_path / "native").exists()


def without(name):
    return lambda weights: {k: v for k, v in weights.items() if k != name}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("transformer.output_layer.weight"), "1 tensors are missing, the first is lm_head.weight"),
        (
            lambda w: w | {"transformer.prefix_encoder.x": w["transformer.output_layer.weight"]},
            "no tensor of ChatGLM2",
        ),
        (lambda w: {k: v * 0.9 if "inv_freq" in k else v for k, v in w.items()}, "not the rotary frequencies of base"),
        (lambda w: {k: v[:-1] if "output_layer" in k else v for k, v in w.items()}, "has the shape [639, 64]"),
        (lambda w: w | {"transformer.output_layer.weight": print}, "cannot be read as weights only"),
    ],
)
def test_weights_that_are_not_those_of_the_config_are_refused(published, in_process, tmp_path, change, says):
    done = in_process(convert_codegeex2, published(change(random_weights())), tmp_path / "native")
    assert done.code == 2 and says in done.last, done.err
    assert not (tmp_path / "native").exists() and not list(tmp_path.glob(".*unfinished"))


def test_a_plan_of_the_conversion_asks_nobody_and_writes_nothing(published, in_process, tmp_path, monkeypatch):
    monkeypatch.setattr(convert_codegeex2, "fetch", None)
    done = in_process(convert_codegeex2, "THUDM/codegeex2-6b", tmp_path / "native", "--dry-run")
    assert done.code == 0 and "GiB of weights  11.6, downloaded first, and as many written" in done.out
    done = in_process(convert_codegeex2, published(), tmp_path / "native", "--dry-run")
    assert done.code == 0 and "GiB of weights  0.0, read from there" in done.out
    assert not (tmp_path / "native").exists()


def test_a_source_that_is_not_there_is_refused():
    with pytest.raises(Refusal, match="no such folder, and not owner/name"):
        convert_codegeex2.fetch("./nothing")


@pytest.mark.slow
def test_a_repository_of_the_hub_is_converted_at_its_commit_and_its_code_is_not_even_fetched(published, tmp_path):
    with LocalHub(tmp_path / "hub") as hub:
        commit = hub.add("model", "lab/codegeex2", published())
        environment = hub.environment(tmp_path / "home")
        done = run_module("recipes.convert_codegeex2", "lab/codegeex2", str(tmp_path / "native"), env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_json(tmp_path / "native/source.json")["source"].startswith(f"lab/codegeex2@{commit}, converted")
    assert any("tokenizer.model" in asked for asked in hub.requests)
    assert not any("modeling_chatglm" in asked for asked in hub.requests)


def test_the_recipe_trains_the_converted_model(converted, in_process, recipe_file, tmp_path):
    changes = {"base": str(converted), "chat_template": "octogeex.jinja", "pad_token": "<unk>", "max_steps": 2,
               "learning_rate": 1e-4}  # fmt: skip
    done = in_process(sft, recipe_file(**changes, loss_on="full_sequence"), "--output", tmp_path / "run")
    assert done.code == 0, done.err[-2000:]
    assert "[gMASK]" in done.out and "Answer: def add_" in done.out
    run = read_json(tmp_path / "run/run.json")
    assert run["checkpoint"]["reloaded_tokens_equal"] == 20
    assert read_json(tmp_path / "run/model/config.json")["model_type"] == "glm"
