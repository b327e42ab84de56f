"""Consensus, label quality and annotator quality for Label Studio: the service."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("crowdlab-label-studio")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
