"""Generators and discriminators; :func:`build` makes any model of the course by name."""

from t2i.models.generator import Generated
from t2i.models.zoo import NAMES, Networks, build, from_config

__all__ = ["NAMES", "Generated", "Networks", "build", "from_config"]
