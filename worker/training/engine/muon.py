"""The precision of Muon's orthogonalisation.

timm's Muon computes its Newton-Schulz iteration in bfloat16 and has no option for another. A CPU without instructions
for bfloat16 emulates it: there, an optimiser's step for a `mobilenetv3_small_050` took 20 times as long as in float32
and eleven times as long as forward and backward together (docs/benchmarks/cost.md, "Muon's precision").
"""

import functools

import torch
from timm.optim import muon

_in_any_precision = muon.zeropower_via_newtonschulz


def orthogonalise_in(dtype: torch.dtype) -> None:
    """From now on, every Muon of this process orthogonalises in `dtype`; a process trains one job."""
    muon.zeropower_via_newtonschulz = functools.partial(_in_any_precision, dtype=dtype)
