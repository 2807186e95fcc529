# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Writes a runc bundle's config.json: runc-config.py BUNDLE CGROUP_PATH LIMIT_BYTES COMMAND...

The container's root is /container, where the guest's own root is mounted once more.
"""
import json
import subprocess
import sys

bundle, cgroup, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
with open(f"{bundle}/config.json", encoding="utf-8") as file:
    config = json.load(file)
config["root"] = {"path": "/container", "readonly": True}
config["process"].update(terminal=False, args=sys.argv[4:], cwd="/")
config["process"].pop("rlimits", None)
config["linux"]["cgroupsPath"] = cgroup
config["linux"]["resources"]["memory"] = {"limit": limit}
with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
    json.dump(config, file)
