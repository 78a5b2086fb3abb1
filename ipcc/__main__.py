"""Owns `python -m ipcc`, which is the command `ipcc`.

Must not know what the command does.
"""

from __future__ import annotations

import sys

from ipcc.cli import main

sys.exit(main())
