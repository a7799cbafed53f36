"""Floor 3: sentences read as tags. Knows words, captions and the vocabulary of tags, nothing of pictures or worlds.

``words`` takes a sentence apart, ``encoder`` is the small network that comes along, ``pretrained`` reads through a T5
or CLIP checkpoint of the user's, ``reading`` says what a sentence was understood as, and what was not.

Legend: B sentences, T words, G n-grams of a word, C channels of ``types.VOCABULARY``, K words of a channel, D width.
"""
