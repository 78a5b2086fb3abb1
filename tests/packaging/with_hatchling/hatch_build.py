from hatchling.builders.hooks.plugin.interface import BuildHookInterface

import ipcc


class BuildWithInterfaces(BuildHookInterface):
    def initialize(self, version, build_data):
        module = "src/clock/clock_ipc.py"
        ipcc.compile_file(f"{self.root}/src/clock/Clock.ipc", f"{self.root}/{module}")
        build_data["artifacts"].append(module)
