"""NumPy twins of formulas: in place, in blocks that stay in the cache, with scratch that is used again.

One file per area of the library. Each function takes and returns what its formula does. Only what is measured to pay
on a whole step stands here; the figures are in docs/benchmarks.md.
"""
