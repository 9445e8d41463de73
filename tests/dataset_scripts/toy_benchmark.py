"""Two problems, a rewritten and a renamed copy of one of them, and rows judged against them."""

from dataset_scripts import decontaminate, references
from evaluation.benchmarks import Problem
from tests.conftest import DECONTAMINATE

MERGE = Problem(
    "Toy/1",
    "Write a function that merges two sorted lists of numbers into one sorted list.",
    """def merge_sorted(left, right):
    merged = []
    while left and right:
        if left[0] <= right[0]:
            merged.append(left.pop(0))
        else:
            merged.append(right.pop(0))
    return merged + left + right
""",
    "assert merge_sorted([1, 4, 9], [2, 3]) == [1, 2, 3, 4, 9]\nassert merge_sorted([], [7]) == [7]\n",
    "merge_sorted",
)
SQUARE = Problem("Toy/2", "Square it.", "def square(n):\n    return n**2\n", "assert square(3) == 9\n", "square")
RENAMED = MERGE.solution
for _old, _new in (("merge_sorted", "combine"), ("left", "a"), ("right", "b"), ("merged", "out")):
    RENAMED = RENAMED.replace(_old, _new)
NEAR_PROMPT = "Write a function that merges two sorted lists of integers into a new list."
NEAR_SOLUTION = """```python
def merge(left, right):
    result = []
    while left and right:
        if left[0] <= right[0]:
            result.append(left.pop(0))
        else:
            result.append(right.pop(0))
    result += left + right
    return result
```"""
PROSE = "Sure, here is some code that I wrote for you today; it should work."


def config(**changes):
    return decontaminate.Config(**DECONTAMINATE | {"benchmarks": ["humaneval"]} | changes)


def reference_set(*problems):
    found = {}
    for problem in problems:
        for part in references.PARTS:
            references.add(found, "toy", problem, part)
    return list(found.values())


def judged(index, *pairs, settings=None, language="python"):
    columns = {"instruction": [i for i, _ in pairs], "response": [r for _, r in pairs]}
    columns["language"] = [language] * len(pairs)
    return decontaminate.batch(columns, index=index, config=settings or config())


def signals(out, row=0):
    return {(e["signal"], e["part"], e["decides"]) for e in out["evidence"][row]}
