"""Floor 5: training. Stages in order: data, tokenizer, latent cache, dynamics; each resumes where it was killed.

``config`` the tree of settings, ``corpus`` frames in memory and batches that are functions of (seed, k), ``stages`` the
Lightning modules, ``pictures`` what to look at while it runs, ``run`` the order of things.
"""
