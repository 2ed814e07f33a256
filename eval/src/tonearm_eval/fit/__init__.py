"""How the engine's fitted numbers come about: generated clips in, weight files out.

    python -m tonearm_eval.generator --split dev --clips 600 --out DEV
    python -m tonearm_eval.fit.hearing DEV --cache CACHE
    python -m tonearm_eval.fit.rhythm CACHE
    python -m tonearm_eval.fit.harmony CACHE

Only clips of development splits are ever fitted on.
"""
