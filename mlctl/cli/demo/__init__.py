"""Demonstrations: whole stories with real commands, real servers and made-up households. Each number in them is measured."""
