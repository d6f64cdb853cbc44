"""What people's programs read and send, over HTTP: cases, decisions, claims."""
