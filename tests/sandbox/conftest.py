"""One warm worker per backend that holds here; a backend that does not hold skips its tests and says why."""

import pytest

from sandbox.backends import self_test
from sandbox.worker import Worker


@pytest.fixture(scope="session", params=["bubblewrap", "landlock"])
def worker(request):
    """A worker of one backend."""
    reason = self_test(request.param)
    if reason:
        pytest.skip(f"{request.param} does not hold here: {reason}")
    worker = Worker(request.param)
    yield worker
    worker.close()
