"""No attack reaches the host, none fakes a pass, and each is reported as what it was."""

import dataclasses

import pytest

from tests.sandbox.attacks import ATTACKS
from tests.sandbox.besieged import host, left_over


def test_there_are_enough_of_them():
    assert len(ATTACKS) >= 60
    assert len({attack.group for attack in ATTACKS}) == 10
    assert len({(attack.group, attack.name) for attack in ATTACKS}) == len(ATTACKS)


@pytest.fixture(scope="module")
def canaries():
    with host() as canaries:
        yield canaries


def test_canaries_notice(canaries):
    """The watch itself works: an attack that succeeds would be seen."""
    from sandbox import Verdict

    assert canaries.touched(Verdict("ok")) == []
    assert canaries.touched(Verdict("ok", stdout="canary-5f1d0c")) == ["secret read"]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.group}-{attack.name}")
def test_attack(attack, worker, canaries):
    verdict = worker.judge(canaries.job(attack))
    assert canaries.touched(verdict) == []
    assert left_over(worker) == []
    assert verdict.status in attack.expected, verdict
    assert verdict.backend == worker.backend
    if attack.test is not None:  # the same against a test that follows others in one process
        verdict = worker.judge(dataclasses.replace(canaries.job(attack), trusted_test=True))
        assert verdict.status in attack.expected, verdict
        assert canaries.touched(verdict) == []
