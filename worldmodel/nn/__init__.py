"""Floor 1: the transformer every network shares. Knows tensors, nothing of video, driving or training.

``rotary`` positions relative in time, ``attention`` over space or time, ``ring`` the cache of a running world,
``block`` and ``transformer`` the stack, ``groups`` how a frame becomes a list of named token groups,
``unet`` maps that are read from a picture.

Legend: B batch, T frames, N tokens of a frame, D width, H query heads, G key-value heads, K head width, W window.
"""
