"""Text encoders: a caption becomes :class:`TextFeatures`."""

from t2i.text.features import TextFeatures

__all__ = ["TextFeatures"]
