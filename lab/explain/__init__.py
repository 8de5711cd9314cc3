"""Where a network looks and what its layers see. Works on a network in hand and on tensors; knows
nothing of runs or files. Nobody here touches a network in training: callers bring one of their own.
"""
