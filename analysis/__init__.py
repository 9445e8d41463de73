"""Figures and tables from artefacts; nothing here builds, trains or talks to the Hub."""
