"""What open pages are told while they are open: which case has changed, and who looks at it."""
