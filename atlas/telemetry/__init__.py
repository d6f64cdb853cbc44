"""What operators' systems read of the gateway: metrics, spans, and a log line for each change of state."""
