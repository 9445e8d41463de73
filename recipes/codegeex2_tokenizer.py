"""CodeGeeX2's sentencepiece model -> a tokenizer that transformers loads without code of the repository.

reads   tokenizer.model; writes nothing

`sop` and `eop` are called `<sop>` and `<eop>` here, as in GLM-4: or "sophisticated" would hold one.
"""

from pathlib import Path
from typing import Any

from artefacts import ROOT, Refusal

SPECIAL = ("[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>")  # in the order of their ids, behind sentencepiece's
PROBES = (
    "def f(xs):\n    return [x + 1 for x in xs]\n", "\tfor (int i = 0; i < n; ++i) {\r\n\t\ta[i] = 0x1F;\n\t}",
    "  two leading spaces, and   three inside", " ", "\n\n\n", "naïve café, Ω ≤ ∞", "编写一个函数", "🙂 and \u200b",
    "", "# language: Python\n# write a bubble sort function\n", "Question: Why?\n\nAnswer:", "sophisticated people",
)  # fmt: skip


def convert_tokenizer(path: Path) -> Any:
    """The sentencepiece model as a tokenizer of the `tokenizers` library, compared with sentencepiece itself.

    Texts begin with [gMASK] <sop> where special tokens are asked for, as the published tokenizer has it.

    Raises:
        Refusal: a probe is split otherwise than sentencepiece does.
    """
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import SentencePieceExtractor

    extractor = SentencePieceExtractor(str(path))
    spec, trained = extractor.proto.normalizer_spec, extractor.proto.trainer_spec
    parts = extractor.extract(None)
    fallback = {"byte_fallback": trained.byte_fallback}
    if isinstance(parts["vocab"], dict):
        core = Tokenizer(models.BPE(parts["vocab"], parts["merges"], unk_token="<unk>", fuse_unk=True, **fallback))
    else:
        core = Tokenizer(models.Unigram(parts["vocab"], unk_id=trained.unk_id, **fallback))
    steps = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    steps += [normalizers.Prepend("▁")] if spec.add_dummy_prefix else []
    core.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    core.decoder = decoders.Sequence(back + ([decoders.Strip(" ", 1, 0)] if spec.add_dummy_prefix else []))
    core.add_special_tokens(["<unk>", "<s>", "</s>", *SPECIAL])
    prefix = [(token, core.token_to_id(token)) for token in ("[gMASK]", "<sop>")]
    core.post_processor = processors.TemplateProcessing(single="[gMASK] <sop> $A", special_tokens=prefix)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", eos_token="</s>", pad_token="<unk>", padding_side="left",
        additional_special_tokens=list(SPECIAL), clean_up_tokenization_spaces=False,
    )  # fmt: skip
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    for probe in (*PROBES, (ROOT / "artefacts.py").read_text(encoding="utf-8")):
        ids, theirs = tokenizer(probe, add_special_tokens=False)["input_ids"], reference.encode(probe)
        if ids != theirs:
            raise Refusal(
                f"{path}: the converted tokenizer splits {probe[:40]!r} otherwise than sentencepiece; not kept."
            )
    return tokenizer
