"""`python -m ipcc`: the same as the command `ipcc`."""

from __future__ import annotations

import sys

from ipcc.cli import main

sys.exit(main())
