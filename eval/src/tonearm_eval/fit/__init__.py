"""How the engine's fitted numbers come about: generated clips in, weight files out.

    python -m tonearm_eval.generator --split dev --clips 480 --seed 31 --out DEV
    python -m tonearm_eval.fit.hearing DEV --cache CACHE
    python -m tonearm_eval.fit.harmony CACHE
    python -m tonearm_eval.fit.rhythm CACHE

Only clips of development splits are ever fitted on.  eval/README.md names every run whose clips the
shipped numbers come from.
"""
