"""How good the student is: validation while training, the figures of `evaluation.json`, the review of labels.

Imports `export` (for the logits that the files must agree with) and what lies below.
"""
