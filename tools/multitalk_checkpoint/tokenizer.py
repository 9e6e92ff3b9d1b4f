"""A tokenizer of a few words and all letters, in the real one's file format: ids 0 padding, 1 end, 2 unknown."""

from __future__ import annotations

import string

from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import NFKC
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

WORDS = ("a", "the", "two", "people", "person", "woman", "man", "talk", "talking", "sing", "smile", "in", "room", "and")
SPACE = "\u2581"


def tiny_tokenizer() -> Tokenizer:
    """Make the tokenizer."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    words = [(SPACE + word, -2.0 - 0.05 * number) for number, word in enumerate(WORDS)]
    letters = [
        (letter, -6.0 - 0.01 * n) for n, letter in enumerate(SPACE + string.ascii_letters + string.digits + ".,!?'")
    ]
    tokenizer = Tokenizer(Unigram([*special, *words, *letters], unk_id=2, byte_fallback=False))
    tokenizer.normalizer = NFKC()
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer
