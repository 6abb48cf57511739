"""Our heads against recorded outputs of published code: reading a file of cases, computing them anew, comparing.

A file is an `.npz` with keys `CASE/input|weights|param|output|grad/NAME`, see `cases.py`; the command is
`python -m camoe.train.heads.check FILE.npz`.
"""
