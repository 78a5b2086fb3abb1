"""Owns the tests that `ipcc call` calls every message of the demos, and prints what they send.
Must not know how values are written.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from demos.decoder import pictures
from ipclib.gfx import ShareableBitmap
from ipctools.interface import Interface
from tests.ipctools.running import ROOT, Done, command, config_service, environment, ipcc, running

HERE = Path(__file__).parent
PLEDGE = ["pledge_domains", 'domains=["Editor"]']
KEY = ["domain=Editor", "group=G", "key=K"]
CALLS = [
    ([*PLEDGE], ""),
    (["monitor_domain", "domain=Editor"], ""),
    (["write_string_value", *KEY, "value=-5"], ""),
    (["read_string_value", *KEY], 'value = "-5"\n'),
    (["read_i32_value", *KEY], "value = -5\n"),
    (["read_u32_value", *KEY], "value = null\n"),
    (["read_bool_value", *KEY], "value = null\n"),
    (["write_i32_value", *KEY, "value=-2147483648"], ""),
    (["read_i32_value", *KEY], "value = -2147483648\n"),
    (["write_u32_value", *KEY, "value=0xffffffff"], ""),
    (["ConfigServer.read_u32_value", *KEY], "value = 4294967295\n"),
    (["write_bool_value", *KEY, "value=true"], ""),
    (["read_bool_value", *KEY], "value = true\n"),
    (["list_domains"], 'domains = ["Editor"]\n'),
    (["list_config_groups", "domain=Editor"], 'groups = ["G"]\n'),
    (["list_config_keys", "domain=Editor", "group=G"], 'keys = ["K"]\n'),
    (["remove_key_entry", *KEY], ""),
    (["list_config_keys", "domain=Editor", "group=G"], "keys = []\n"),
    (["remove_group_entry", "domain=Editor", "group=G"], ""),
    (["add_group_entry", "domain=Editor", "group=New"], ""),
    (["list_config_groups", "domain=Editor"], 'groups = ["New"]\n'),
]
SENT = [
    'ConfigClient.notify_changed_string_value domain="Editor" group="G" key="K" value="-5"',
    'ConfigClient.notify_changed_i32_value domain="Editor" group="G" key="K" value=-2147483648',
    'ConfigClient.notify_changed_u32_value domain="Editor" group="G" key="K" value=4294967295',
    'ConfigClient.notify_changed_bool_value domain="Editor" group="G" key="K" value=true',
    'ConfigClient.notify_removed_key domain="Editor" group="G" key="K"',
    'ConfigClient.notify_removed_group domain="Editor" group="G"',
    'ConfigClient.notify_added_group domain="Editor" group="New"',
]

pytestmark = pytest.mark.slow


def test_every_message_of_the_settings_service_is_here() -> None:
    interface = Interface.of_files([str(ROOT / "demos" / "config" / "ConfigServer.ipc")], (), ())
    called = {words[0].rpartition(".")[2] for words, _ in CALLS}
    assert called == {message.name for message in interface.called[0].messages}
    sent = {line.split()[0].rpartition(".")[2] for line in SENT}
    assert sent == {message.name for message in interface.received[0].messages}


def test_the_settings_service_is_called_and_watched(tmp_path: Path) -> None:
    with config_service(tmp_path) as socket:
        watching = subprocess.Popen(
            command("call", socket, *PLEDGE, "monitor_domain", "domain=Editor", "list_domains", "--watch"),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert watching.stdout is not None
        assert watching.stdout.readline() == "domains = []\n"  # From now on it monitors.
        words = [word for call, _ in CALLS for word in call]
        output = "".join(text for _, text in CALLS)
        assert ipcc("call", socket, *words) == Done(0, output, "")
        assert [watching.stdout.readline() for _ in SENT] == [f"{line}\n" for line in SENT]
        watching.kill()
        watching.wait()
        watching.stdout.close()


def test_the_decoder_is_called_with_a_file_and_its_picture_is_saved(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(pictures.encoded((2, 1, b"\x10\x20")))
    with running([HERE / "decoder_service.py", tmp_path / "decoder"]):
        done = ipcc(
            "call", tmp_path / "decoder", "decode", f"file=@{tmp_path}/picture", "decode", "file=text"
        )
        saved = ipcc("call", tmp_path / "decoder", "decode", f"file=@{tmp_path}/picture", "--save", tmp_path)
    shape = (
        '{"width": 2, "height": 1, "scale": 1, "format": "BGRA8888", "pixels": {"base64": "EBAQ/yAgIP8="}}'
    )
    assert (done.code, done.errors) == (0, "")
    one_line = " ".join(done.output.split()).replace("{ ", "{").replace(" }", "}")
    assert one_line == f"bitmap = {shape} bitmap = null"
    assert saved == Done(0, f'bitmap = "@{tmp_path}/bitmap.png"\n', "")
    with ShareableBitmap.load_png(tmp_path / "bitmap.png") as bitmap:
        assert bytes(bitmap.pixels) == bytes([16, 16, 16, 255, 32, 32, 32, 255])
