"""How a case waits for people: who may decide, what they can say, when they are reminded, who takes over."""
