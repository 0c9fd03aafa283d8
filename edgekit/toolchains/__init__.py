"""Toolchains: pinned wheels in a folder of their own, installed when asked, seen only by the worker of one stack.

A toolchain is for a tool whose declared requirements cannot be met beside everybody else's. Its folder is *appended* to
the ``sys.path`` of a worker, so that whatever both hold is taken from the environment.
"""

from edgekit.toolchains.install import find, find_whole, folder, install, require
from edgekit.toolchains.manifest import Manifest, Wheel, get_manifest, load_manifests

__all__ = [
    "Manifest",
    "Wheel",
    "find",
    "find_whole",
    "folder",
    "get_manifest",
    "install",
    "load_manifests",
    "require",
]
