"""What the record of a run says of its speed and of the packages that shaped it."""

from types import SimpleNamespace

import pytest

from recipes import run_record


@pytest.mark.parametrize(
    ("done_before", "tokens_per_s"),
    [(0, 150.0), (15, 75.0), (30, 0.0)],  # one and a half epochs in 30 steps; resumed after 15; after the last
)
def test_the_speed_is_that_of_the_tokens_of_this_sitting(monkeypatch, done_before, tokens_per_s):
    """A run may end within an epoch (max_steps), and most of it may have been before."""
    monkeypatch.setattr(run_record, "hardware", lambda trainer: {})
    history = [{"loss": 2.0, "step": 1}, {"loss": 1.0, "step": 10}, {"eval_toy_loss": 1.5, "step": 30}]
    trainer = SimpleNamespace(state=SimpleNamespace(log_history=history, epoch=1.5, global_step=30))
    found = run_record.outcome_of(trainer, {"tokens": 1000, "supervised_share": 0.4}, done_before, 10.0, {})
    assert found["tokens_per_s"] == tokens_per_s and found["supervised_tokens_per_s"] == 0.4 * tokens_per_s
    assert (found["loss_first"], found["loss_last"], found["eval_losses"]) == (2.0, 1.0, {"toy": [(30, 1.5)]})
    assert (found["losses"], found["loss_steps"]) == ([2.0, 1.0], [1, 10]), "the first step, then every tenth"
    assert found["resumed_from_step"] == (done_before or None)
