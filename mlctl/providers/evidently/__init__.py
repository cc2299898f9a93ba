"""Kinds that watch served models for drift, with reports drawn by Evidently."""
