"""Floor 3: what comes next. Predicts the next latents from past latents, ego motion and tags; knows no pixels.

``conditioning`` embeds what a frame is told, ``dynamics`` the network, ``objective`` how it is trained (shortcut
forcing), ``sampler`` how a frame is drawn, ``look`` what a frame lacks to look as it is told.

Legend: B batch, T frames, V camera views, N latent tokens of a view, C channels of a latent, D width. Signal level tau
runs from 0 (noise) to 1 (clean); step size d is the share of that way one step takes.
"""
