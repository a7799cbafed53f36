"""Floor 2: frames ↔ continuous latents, a frame at a time, and the losses that teach it.

Of driving it knows how motion moves pictures. ``tokenizer`` the network, ``losses`` what teaches it, ``depth`` how far
away things are, ``drift`` who moves by themselves, ``astray`` where a road is not where its map has it, ``moving`` what
a motion does to latents.

Legend: B frames, C colours, H W pixels, h w stem grid, N latent tokens, D channels of a latent, E width.
"""
