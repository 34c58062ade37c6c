"""The platform's version, as every process tells it."""

VERSION = "0.1.0"
