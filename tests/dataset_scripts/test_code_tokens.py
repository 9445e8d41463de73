"""What counts as a token, and that no text costs more than its length."""

import doctest
import time

import pytest

from dataset_scripts import code_tokens, leaks, references


def spelled(tokens, texts, text=0):
    return [texts[text][a:b] for t, a, b in zip(tokens.text, tokens.start, tokens.end, strict=True) if t == text]


@pytest.mark.parametrize("module", [code_tokens, references, leaks])
def test_docstring_examples_hold(module):
    done = doctest.testmod(module)
    assert done.attempted and not done.failed


def test_words_are_all_words_and_no_sign():
    texts = ["Sum, of (two) numbers: café_1", "x"]
    assert spelled(code_tokens.words(texts), texts) == ["Sum", "of", "two", "numbers", "café_1"]
    assert spelled(code_tokens.words(texts), texts, 1) == ["x"]


def test_code_has_no_comments_no_signs_and_literals_alike():
    code = 'def f(a):\n    """Doc."""\n    # why\n    return a["k"] + [1, 2, 3]  // old'
    plain, blind = code_tokens.code([code])
    assert spelled(plain, [code]) == ["def", "f", "a", "return", "a", '"', "1"]
    assert "".join(spelled(blind, [code])) == 'deff(a):returna["]+[1,2,3]'


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("def f(xs):\n    return sum(xs)", "def total(values):  # s\n  return sum( values )", True),
        ("return sum(xs)", "return max(xs)", False),  # a built-in is not a name that anybody chose
        ("result = f(string)\nreturn result", "out = f(s)\nreturn out", True),  # types elsewhere, in Python names
        ("x.append(1)", "y.append(2)", True),
        ("x.append(1)", "x.extend(1)", False),
        ("x < 1", "x > 1", False),
    ],
)
def test_blind_code_is_blind_to_chosen_names_and_literals_only(a, b, alike):
    _, blind = code_tokens.code([a, b])
    first, second = (blind.hashes[blind.text == t].tolist() for t in (0, 1))
    assert (first == second) is alike


def test_equal_tokens_have_equal_hashes_wherever_they_stand():
    tokens = code_tokens.words(["alpha beta Alpha", "x " * 5000 + "alpha"])
    alpha = tokens.hashes[[0, 2, -1]]
    assert len(set(alpha.tolist())) == 1 and alpha[0] != tokens.hashes[1]


def test_offsets_are_characters_also_beyond_latin_1():
    texts = ["数字 sum 数", "é naïve"]
    tokens = code_tokens.words(texts)
    assert spelled(tokens, texts) == ["sum"] and spelled(tokens, texts, 1) == ["é", "naïve"]


@pytest.mark.parametrize("text", ["", "\n\n", "'", '"""', "/*", "\\", '"\\', "'''\n", "x\0y", "\ud800"])
def test_odd_ends_of_text_move_no_character(text):
    assert len(code_tokens.mask(text)) == len(text)
    code_tokens.code([text, "after"])
    assert spelled(code_tokens.words([text, "after"]), [text, "after"], 1) == ["after"]


@pytest.mark.parametrize("unit", ["/*", '\\"', '"\\', "'", '"""', "//", '"a\\\n', "# ", "a'b "])
def test_time_grows_with_length_and_not_with_its_square(unit):
    code_tokens.mask(unit * 1000)
    started = time.process_time()
    code_tokens.mask(unit * (1_000_000 // len(unit)))
    assert time.process_time() - started < 10  # a quadratic scan takes hours


def test_a_bitmap_before_a_set_loses_nothing():
    values = code_tokens.words([" ".join(f"w{i}" for i in range(5000))]).hashes
    known = code_tokens.HashSet(values[::2])
    assert known.contains(values).tolist() == [i % 2 == 0 for i in range(len(values))]
    assert not code_tokens.HashSet(values[:0]).contains(values).any()
