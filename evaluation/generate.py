"""Prompts -> answers with transformers: greedy, batched, sorted by length.

Answers are yielded batch by batch, so that the caller can keep what was made before a crash. In bfloat16 a greedy
answer can depend on the batch it is made in (padding changes the order of sums), so the batch size belongs to the
protocol and to the result.
"""

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm


def answers(
    model_folder: Path, prompts: list[str], max_new_tokens: int, batch_size: int, dtype: str, title: str
) -> Iterator[dict[int, str]]:
    """Answer each prompt as the first user turn of a chat.

    Args:
        model_folder: folder with safetensors weights and a tokenizer that has a chat template.
        prompts: n user turns.
        title: of the progress bar.

    Yields:
        {index of the prompt: answer}, one dict a batch; together they hold all n.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder, padding_side="left")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_folder, dtype=getattr(torch, dtype), use_safetensors=True
    )
    model.to(device)
    model.eval()
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    ids = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    with tqdm(total=len(ids), desc=title, unit=" problems", disable=None) as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            inputs = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt").to(device)
            with torch.inference_mode():
                out = model.generate(
                    **inputs, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
                )
            texts = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            bar.update(len(batch))
            yield dict(zip(batch, texts, strict=True))
