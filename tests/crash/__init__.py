"""Crash tests: processes under load are killed with SIGKILL again and again, and nothing may be lost."""
