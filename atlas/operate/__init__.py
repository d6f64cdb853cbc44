"""What operators see and do: health, errors, start-up text, serving."""
