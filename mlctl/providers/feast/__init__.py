"""Entities and feature views: windows over events, declared in Feast and served from its online store."""
