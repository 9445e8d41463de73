"""The ledger of a stage: rows in, kept and rejected by reason, in total and by source; new rows apart."""

from collections import Counter


def add_up(name: str, counts: list[list]) -> dict:
    """The ledger of the stage `name` from counts, `[[source, reason or None, is_new, n], ...]`."""

    def total_of(some: list[list]) -> dict:
        def reasons(is_new: bool) -> dict:
            total: Counter = Counter()
            for _, reason, new, n in some:
                if reason is not None and new == is_new:
                    total[reason] += n
            return dict(sorted(total.items()))

        kept = {is_new: sum(n for _, reason, new, n in some if reason is None and new == is_new) for is_new in (0, 1)}
        rejected = reasons(False)
        new = {"kept": kept[1], "rejected": reasons(True)}
        return {"rows_in": kept[0] + sum(rejected.values()), "kept": kept[0], "rejected": rejected, "new": new}

    sources = sorted({count[0] for count in counts})
    by_source = {source: total_of([c for c in counts if c[0] == source]) for source in sources}
    return {"stage": name, **total_of(counts), "by_source": by_source}
