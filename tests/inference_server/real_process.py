"""`multitalk-server` with one part changed: a volume needs no receipts."""

from __future__ import annotations

import os
import sys

from inference.server.config import read_config
from inference.server.engines import follow_multitalk, load_multitalk
from inference.server.program import run

if __name__ == "__main__":
    config = read_config(sys.argv[1:], os.environ)
    sys.exit(run(config, os.environ, verify=lambda _: None, load=load_multitalk, follow=follow_multitalk))
