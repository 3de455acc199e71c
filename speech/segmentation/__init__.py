"""Cuts text into sentences while it is being written: Korean, Japanese, Chinese, English, Swedish, and mixtures."""

from speech.segmentation.segmenter import Segment, Segmenter

__all__ = ["Segment", "Segmenter"]
