"""Runs in the trusted test's process: outputs against what is expected, by EvalPlus's rules.

Sent there as text below typed_json.py's. `rule` is `equal` or one of RULES, which a few tasks need.

    near([0.1 + 0.2], [0.3], 0)  ->  True: floats get an absolute tolerance of 1e-6 where a task has none
"""

import math

from evaluation.plus.typed_json import Digest

RTOL = 1e-07  # EvalPlus's, numpy.testing's default
FLOAT_ATOL = 1e-6


def _is_floats(value):
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _close(out, exp, atol):
    """Element by element, of the same shape."""
    if isinstance(exp, (list, tuple)):
        same = isinstance(out, (list, tuple)) and len(out) == len(exp)
        return same and all(_close(a, b, atol) for a, b in zip(out, exp, strict=True))
    numbers = (int, float, complex)
    if not (isinstance(out, numbers) and isinstance(exp, numbers)):
        return False
    return out == exp or abs(out - exp) <= atol + RTOL * abs(exp)


def near(out, exp, atol):
    """Whether `out` is `exp`, or near it where the task or the type of `exp` allows a tolerance."""
    if out == exp:
        return True
    if atol == 0 and _is_floats(exp):
        atol = FLOAT_ATOL
    return atol != 0 and type(out) is type(exp) and _close(out, exp, atol)


def root(out, exp, atol, coefficients):
    """HumanEval/32: any root of the polynomial will do."""
    return abs(sum(c * math.pow(out, i) for i, c in enumerate(coefficients))) <= atol


def same_set(out, exp, atol, *_):
    """Tasks whose answer has no order: the same elements, however often."""
    return set(out) == set(exp)


def not_none(out, exp, atol, *_):
    """Tasks that ask for any match object: `exp` says whether there is one."""
    return out == exp if isinstance(out, bool) else exp == (out is not None)


def returns(out, exp, atol, *_):
    """Mbpp/164, whose text fits several functions: any value will do, as in EvalPlus."""
    return True


def or_zero(out, exp, atol, *_):
    """Mbpp/295: a sum of divisors that may leave the number itself out."""
    return near(out, exp, atol) or out == 0


def pyramid(out, exp, atol, base_edge, height):
    """Mbpp/581: the height may be that of the pyramid instead of its side."""
    side = math.sqrt((base_edge / 2) ** 2 + height**2)
    return near(out, exp, atol) or abs(out - round(base_edge**2 + 2 * base_edge * side)) <= atol


def padded_digits(out, exp, atol, first, second):
    """Mbpp/558: numbers of unequal length may be padded with zeros."""
    size = max(len(str(first)), len(str(second)))
    pairs = zip(str(first).zfill(size), str(second).zfill(size), strict=True)
    return near(out, exp, atol) or out == sum(abs(int(a) - int(b)) for a, b in pairs)


RULES = {f.__name__: f for f in (root, same_set, not_none, returns, or_zero, pyramid, padded_digits)}


def failing(outputs, expected, base_count, rule, atol, inputs):
    """What went wrong first, as `part number kind detail`; None when nothing did.

    Args:
        outputs: what the candidate's process says (hostile).
        expected: values, those of the first `base_count` inputs first.
        inputs: argument lists where the rule needs them, else None.
    """
    if type(outputs) is not list:
        return "base 0 wrong_output: the calls were tampered with"
    for number, exp in enumerate(expected):
        part = "base" if number < base_count else "plus"
        where = f"{part} {number if part == 'base' else number - base_count}"
        found = outputs[number] if number < len(outputs) else None
        if type(found) is not tuple or not found or found[0] not in ("ok", "digest", "exception", "timeout"):
            return f"{where} wrong_output: the calls were tampered with"
        if found[0] == "timeout":
            return f"{where} timeout: one call used up its CPU time"
        if found[0] == "exception":
            return f"{where} exception {found[1]}: {found[2]}" if len(found) == 3 else f"{where} exception"
        try:
            if type(exp) is Digest or found[0] == "digest":
                right = type(exp) is Digest and found == ("digest", str(exp))
            elif rule == "equal":
                right = near(found[1], exp, atol)
            else:
                right = RULES[rule](found[1], exp, atol, *(inputs[number] if inputs else ()))
        except Exception as error:  # hostile values: what cannot be compared is not equal, and the reason says why
            right, found = False, ("ok", f"{type(error).__name__}: {error}")
        if right is not True:
            return f"{where} wrong_output: expected {_short(exp)}, got {_short(found[1])}"
    return None


def _short(value):
    try:
        text = repr(value)
    except Exception:  # an int of 5,000 digits does not print
        text = type(value).__name__
    return text if len(text) <= 120 else text[:117] + "..."
