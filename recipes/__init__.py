"""Mixture -> checkpoint."""
