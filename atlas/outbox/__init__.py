"""What people have to be told: written where it is caused, and sent by one courier through many channels."""
