"""What operators see and do: health, start-up text, serving."""
