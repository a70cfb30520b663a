"""This version, as it is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("tdmr-client")
except PackageNotFoundError:  # a folder on the path
    VERSION = "0"
