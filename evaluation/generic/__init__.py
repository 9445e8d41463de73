"""What a model knows besides code: MMLU, BBH, GSM8K. lm-eval asks them (harness.py), recorded.py scores known outputs.

Results have the schema of evaluation/result.py, so that `make compare` and `python -m evaluation.errors` read them.
"""
