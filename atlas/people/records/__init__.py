"""What is on record of a person beside the way in: groups, hours, training, and who decides for them."""
