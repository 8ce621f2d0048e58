"""Encoders: a caption becomes :class:`TextFeatures`, an image :class:`ImageFeatures` in the same space."""

from t2i.text.features import ImageFeatures, TextFeatures

__all__ = ["ImageFeatures", "TextFeatures"]
