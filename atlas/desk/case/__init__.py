"""One call: its page, what it shows, and what a person does there."""
