"""t2i: the text-to-image GAN line from Char-CNN-RNN and GAN-CLS to MSMT-GAN, as a course and a package."""

__version__ = "0.1.0"
