"""Clips as records are: excerpts, driven, squeezed, masked, in rooms, off pitch, from poor copies.

`python -m tonearm_eval.degrade` turns folders of clips into a folder of such excerpts with truth.
"""

from tonearm_eval.degrade.excerpts import KINDS, degraded, make

__all__ = ["KINDS", "degraded", "make"]
