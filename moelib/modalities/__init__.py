"""Routing between modalities: words and patches in one mixture of experts."""
