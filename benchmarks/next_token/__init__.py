"""A plain baseline: next-token prediction over a discrete tokenizer, so that the gain of the design is a number.

``fsq`` the discrete tokenizer, ``gpt`` the network, ``stage`` how it is trained, ``drawing`` how drives are drawn from
it, ``__main__`` the comparison (``python -m benchmarks.next_token --help``).

Legend: B batch, T frames, N code tokens of a frame, M tokens of a frame with those that it is told, S tokens in a row,
P parts of a code, C channels of a latent, D width, H heads, K head width, F channels of motion, H W also pixels.
"""
