"""Owns the tests that the generated modules of the demos are current.
Must not know their interfaces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("interface", "module"),
    [
        ("demos/config/ConfigServer.ipc", "demos/config/config_ipc.py"),
        ("demos/decoder/Decoder.ipc", "demos/decoder/decoder_ipc.py"),
    ],
)
def test_a_generated_module_is_what_ipcc_writes(interface: str, module: str) -> None:
    command = [sys.executable, "-m", "ipcc", interface]
    generated = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    committed = (CHECKOUT / module).read_text()
    assert committed == generated, f"run: python -m ipcc {interface} -o {module}"
