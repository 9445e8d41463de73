"""Prompts -> answers of a model behind an OpenAI-compatible server, by `llm`: retries, pace, a ledger of answers.

reads   a server's address, or a profile file as in recipes/teachers (its address, key variable, limits and prices)
writes  answers.sqlite beside the samples: an answer is on the disk before it counts; a killed run asks nothing twice

Prompts with `style: chat` go to /chat/completions, others to /completions. What the server cannot be told is refused.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import llm
from artefacts import Refusal
from evaluation.generate import Decoding, Prompt, until

ROLE = "answer"


def address(server: str) -> str:
    """Where a server is: the address itself, or that of a profile file.

    Raises:
        Refusal: the profile is wrong.
    """
    return server.rstrip("/") if server.startswith(("http://", "https://")) else llm.load(Path(server)).url()


def profile_of(server: str, model: str, decoding: Decoding) -> llm.Profile:
    """The server as `llm` knows it: one role, which samples as the protocol says.

    Args:
        server: an http(s) address that ends in /v1, of a server that wants no key; or a profile file.
        model: what the server calls the model.

    Raises:
        Refusal: the profile is wrong, or it limits dollars and has no price for the model.
    """
    price = {"usd_per_million_prompt_tokens": 0.0, "usd_per_million_completion_tokens": 0.0}
    if server.startswith(("http://", "https://")):
        values = {
            "name": "server", "base_url": server, "api_key_env": None, "open_weights": True, "json_schema": False,
            "max_concurrency": decoding.batch_size, "timeout_s": 600.0, "max_cost_usd": None, "max_tokens_total": None,
        }  # fmt: skip
    else:
        known = llm.load(Path(server))
        values = {name: getattr(known, name) for name in llm.Profile.model_fields}
        priced = next((role for role in known.roles.values() if role.model == model), None)
        if priced is not None:
            price = {name: getattr(priced, name) for name in price}
        elif known.max_cost_usd is not None:
            raise Refusal(f"{server}: no role has the model '{model}', so max_cost_usd cannot be kept; add its price.")
    sampling = {"temperature": decoding.temperature, "max_tokens": decoding.max_new_tokens}
    top_p = decoding.top_p if decoding.temperature > 0 else None
    return llm.Profile(**values | {"roles": {ROLE: llm.Role(model=model, top_p=top_p, **sampling, **price)}})


def answers(
    server: str, model: str, prompts: Sequence[Prompt], decoding: Decoding, title: str, ledger: Path
) -> Iterator[dict[int, str]]:
    """Answer each prompt; as `generate.answers`, one prompt a dict, in order.

    Raises:
        Refusal: a chat's answer is to be begun for the model, the server refuses us, or prompts stay unanswered.
    """
    if any(prompt.chat and prompt.prefix for prompt in prompts):
        raise Refusal(
            "the protocol begins the answer of a chat (answer_prefix), which a server cannot be told; "
            "use --engine transformers or vllm."
        )
    profile = profile_of(server, model, decoding)
    requests = (
        llm.Request(
            ROLE,
            tuple(prompt.turns()) if prompt.chat else ({"role": "user", "content": prompt.text + prompt.prefix},),
            f"evaluation@1 {profile.url()}",  # another server may call another model so
            sample=prompt.sample, stop=decoding.stop, continues=not prompt.chat, verbatim=True,
        )
        for prompt in prompts
    )  # fmt: skip
    without: list[str] = []
    with llm.Client(profile, ledger, scope="evaluation") as client:
        for index, answer in enumerate(client.ask(requests, total=len(prompts), name=title)):
            if answer.reason is not None:
                without.append(answer.reason)
                continue
            text = answer.text.encode(errors="replace").decode()  # half a surrogate pair: no file can hold it
            yield {index: until(text, decoding.stop)}
    if without:
        said = ", ".join(f"{without.count(reason)} {reason}" for reason in sorted(set(without)))
        raise Refusal(
            f"{model}: {len(without)} of {len(prompts)} prompts have no answer ({said}); see to the server and run "
            "again, every answer so far is kept."
        )
