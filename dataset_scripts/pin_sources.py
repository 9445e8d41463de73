"""Fill the revisions that nobody has pinned yet with what `main` of each repository points to now.

reads   the Hub; writes dataset_scripts/sources/revisions.yaml, one line a repository, comments untouched
"""

import argparse
import re

from artefacts import command_line, read_mapping, write_bytes
from dataset_scripts.sources import hub


def pin(every: bool) -> dict[str, str]:
    """Pin the nulls, or all repositories; returns what changed. Nothing is written unless all of them answer."""
    known = read_mapping(hub.REVISIONS)
    wanted = [repo_id for repo_id in known if every or hub.pinned(repo_id) is None]
    found = {repo_id: hub.find_revision(repo_id) for repo_id in wanted}
    text = hub.REVISIONS.read_text(encoding="utf-8")
    for repo_id, revision in found.items():
        text = re.sub(rf"^{re.escape(repo_id)}:.*$", f'{repo_id}: "{revision}"', text, flags=re.MULTILINE)
    write_bytes(hub.REVISIONS, text.encode())
    return {repo_id: revision for repo_id, revision in found.items() if known[repo_id] != revision}


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.pin_sources", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--all", action="store_true", help="move every pin, not only the nulls")
    changed = pin(parser.parse_args().all)
    for repo_id, revision in changed.items():
        print(f"{repo_id}: {revision}")
    print(f"{hub.REVISIONS}: {len(changed)} pinned")


if __name__ == "__main__":
    raise SystemExit(main())
