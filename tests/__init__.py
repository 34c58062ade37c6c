"""Tests, one folder a package; a regular package so that nothing installed under the same name can hide it."""
