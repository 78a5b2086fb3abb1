from setuptools import setup
from setuptools.command.build_py import build_py

import ipcc


class BuildWithInterfaces(build_py):
    def run(self):
        super().run()
        folder = "src" if self.editable_mode else self.build_lib
        ipcc.compile_file("src/clock/Clock.ipc", f"{folder}/clock/clock_ipc.py")


setup(cmdclass={"build_py": BuildWithInterfaces})
