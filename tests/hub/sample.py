"""The one repository that most of these tests ask for."""

import random

REPO = "owner/model"
CONFIG = b'{"layers": 2}'
WEIGHTS = random.Random("weights").randbytes(300_000)
