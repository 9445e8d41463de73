"""Every attack on one backend, with the host's canaries watched: prints a table and exits with 1 on any defeat.

    python tests/perf/sandbox_attacks.py [bubblewrap|landlock]

Run it as root and as an unprivileged user, e.g. `setpriv --reuid 65534 --regid 65534 --clear-groups python ...`.
"""

import collections
import dataclasses
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sandbox.backends import backend  # noqa: E402
from sandbox.worker import Worker  # noqa: E402
from tests.sandbox.attacks import ATTACKS  # noqa: E402
from tests.sandbox.besieged import host, left_over  # noqa: E402


def main(name: str) -> int:
    """Number of defeats."""
    rows: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    defeats = 0
    with host() as canaries:
        worker = Worker(name)
        try:
            for attack in ATTACKS:
                verdict = worker.judge(canaries.job(attack))
                wrong = canaries.touched(verdict) + left_over(worker)
                if attack.test is not None:
                    again = worker.judge(dataclasses.replace(canaries.job(attack), trusted_test=True))
                    if "ok" in (verdict.status, again.status):
                        wrong.append("fake pass")
                if verdict.status not in attack.expected:
                    wrong.append(
                        f"reported as {verdict.status} ({verdict.exception_type}: {verdict.exception_message})"
                    )
                rows[attack.group][verdict.status] += 1
                rows[attack.group]["attacks"] += 1
                if wrong:
                    defeats += 1
                    print(f"DEFEAT {attack.group} / {attack.name}: {'; '.join(wrong)}")
        finally:
            worker.close()
    print(f"| group (uid {os.getuid()}, {name}) | attacks | verdicts |\n| --- | --- | --- |")
    for group, counts in rows.items():
        statuses = ", ".join(f"{status} {count}" for status, count in counts.most_common() if status != "attacks")
        print(f"| {group} | {counts['attacks']} | {statuses} |")
    print(f"\n{len(ATTACKS)} attacks, {defeats} defeats")
    return 1 if defeats else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else backend()))
