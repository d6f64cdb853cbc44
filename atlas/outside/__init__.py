"""What the gateway tells other servers: how much of an answer is read, and how long an attempt lasts."""
