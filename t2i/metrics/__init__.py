"""Measures of generated images: named protocols for FID, IS and KID, and how well an image fits its caption."""
