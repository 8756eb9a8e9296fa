"""The refusal of this room."""

from moelib.study.base import ConfigError


class CurvatureError(ConfigError):
    """A loss whose curvature is not defined, or cannot be computed as asked."""
